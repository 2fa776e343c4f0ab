"""Which change of forward has the gradients that backward computes: the bug, seen from the other side.

A :class:`Simulation` knows the slopes of a changed forward, along random directions, and whether they are what backward
returns. A change that explains every gradient explains the bug, whatever backward's code looks like.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.tracing import Call, Change, Diverged, Tracer
from scratchlv.gradcheck.trees import dot

STEP = 2.0**-18
DIRECTIONS = 3
FIT = 1e-4  # of what is wrong: how much of it an explanation may leave
ROUNDING = 2e-8  # of a slope


class Simulation:
    """Slopes of forward, as it is and with changes, against the gradients that backward returns."""

    def __init__(self, evidence: Evidence, deadline: float) -> None:
        """Raises: whatever forward raises if it is watched."""
        assert evidence.forward is not None
        self.deadline = deadline
        self.names = list(evidence.analytic)
        self.wrong = list(evidence.wrong)
        self.evidence, self.dy = evidence, evidence.dy
        self.tracer = Tracer(evidence.forward, evidence.inputs, self.names)
        self.calls = self.tracer.calls
        rng = np.random.default_rng(1)
        self.directions = {name: self._directions(np.shape(evidence.inputs[name]), rng) for name in self.names}
        self.got = {name: self._along(name, evidence.analytic[name]) for name in self.names}
        self.true = {name: self._slopes(name, {}) for name in self.names}
        self.rounds: dict[tuple, list[int]] = defaultdict(list)  # the calls at one place of the code, in order
        for index, call in enumerate(self.calls):
            self.rounds[(call.name, call.place)].append(index)
        self.made_by: dict[Any, int] = {}  # the call that makes a value
        for index, call in enumerate(self.calls):
            self.made_by.setdefault(fingerprint(call.output), index)

    @property
    def trusted(self) -> bool:
        """Whether the unchanged forward has the slopes that the check has found."""
        right = [name for name in self.names if name not in self.wrong]
        return all(self._fits(name, self.true[name]) for name in right) and not any(
            self._fits(name, self.true[name]) for name in self.wrong
        )

    @property
    def late(self) -> bool:
        return time.perf_counter() > self.deadline

    def _directions(self, shape: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
        found = []
        for _ in range(DIRECTIONS):
            direction = rng.standard_normal(shape)
            found.append(direction / (np.linalg.norm(direction) or 1.0))
        return found

    def _along(self, name: str, grad: np.ndarray) -> np.ndarray:
        return np.array([float((grad * direction).sum()) for direction in self.directions[name]])

    def slope(self, moved: Mapping[str, np.ndarray], changes: Mapping[int, Change]) -> float:
        """Of the loss, along a direction of the inputs."""
        ahead, behind = ({name: sign * STEP * v for name, v in moved.items()} for sign in (1, -1))
        loss = dot(self.dy, self.tracer.output(ahead, changes)) - dot(self.dy, self.tracer.output(behind, changes))
        return loss / (2 * STEP)

    def _slopes(self, name: str, changes: Mapping[int, Change]) -> np.ndarray:
        return np.array([self.slope({name: direction}, changes) for direction in self.directions[name]])

    def _fits(self, name: str, slopes: np.ndarray) -> bool:
        got, true = self.got[name], self.true[name]
        scale = np.abs(true).max(initial=0) + np.abs(got).max(initial=0)
        allowed = FIT * np.abs(got - true).max(initial=0) + ROUNDING * scale + 1e-12
        return bool(np.isfinite(got).all() and (np.abs(slopes - got) <= allowed).all())

    def explains_all(self, changes: Mapping[int, Change]) -> bool:
        """Whether every gradient is what it would be with these changes."""
        try:
            together = {name: self.directions[name][0] for name in self.names}
            got, true = (sum(s[name][0] for name in self.names) for s in (self.got, self.true))
            scale = sum(abs(self.true[name][0]) + abs(self.got[name][0]) for name in self.names)
            gap = sum(abs(self.got[name][0] - self.true[name][0]) for name in self.names)
            if not abs(self.slope(together, changes) - got) <= FIT * gap + ROUNDING * scale + 1e-12:
                return False
            return all(self._fits(name, self._slopes(name, changes)) for name in [*self.wrong, *self.names])
        except (Diverged, ValueError, IndexError, TypeError, FloatingPointError):
            return False

    def explained(self, changes: Mapping[int, Change]) -> set[str]:
        """The wrong gradients that are what they would be with these changes; none if a right one would be wrong."""
        try:
            found = {name for name in self.wrong if self._fits(name, self._slopes(name, changes))}
            right = [name for name in self.names if name not in self.wrong]
            if found and all(self._fits(name, self._slopes(name, changes)) for name in right):
                return found
        except (Diverged, ValueError, IndexError, TypeError, FloatingPointError):
            pass
        return set()

    # --- What the trace shows -----------------------------------------------------------------------------------------

    def owner(self, source: Any) -> str | None:
        """The input that an operand is, or is a part of."""
        if isinstance(source, np.ndarray) and source.size:
            for name, leaf in self.tracer.leaves.items():
                if leaf.size and np.may_share_memory(source, leaf):
                    return name
        return None

    def uses(self, name: str) -> list[tuple[int, int]]:
        """Where an input goes in: the calls, and which of their operands it is."""
        return [
            (index, j)
            for index, call in enumerate(self.calls)
            for j, source in enumerate(call.sources)
            if self.owner(source) == name
        ]

    def carried(self, calls: list[int], j: int) -> list[int] | None:
        """The calls that make operand ``j`` in one round for the next, if the calls are the rounds of a loop that does so."""
        if len(calls) < 2:
            return None
        makers = [self.made_by.get(fingerprint(self.calls[index].operands[j])) for index in calls[1:]]
        known = [maker for maker in makers if maker is not None]
        if len(known) != len(makers) or len({(self.calls[k].name, self.calls[k].place) for k in known}) != 1:
            return None
        if [self.calls[k].round for k in known] != list(range(len(known))):
            return None
        return self.rounds[(self.calls[known[0]].name, self.calls[known[0]].place)]


def fingerprint(x: Any) -> Any:
    return (np.shape(x), np.ascontiguousarray(x).tobytes()) if isinstance(x, np.ndarray | np.generic) else None


def scaled(j: int, c: float) -> Change:
    """Operand ``j`` counts ``c`` times in the slopes."""

    def change(call: Call, operands: list[Any], output: Any) -> Any:
        if not is_float(call.operands[j]):
            return output
        then = call.operands[j]
        operands = [then + c * (x - then) if i == j else x for i, x in enumerate(operands)]
        return call.again(operands)

    return change


def scaled_output(c: float) -> Change:
    """The whole operation counts ``c`` times in the slopes."""
    return lambda call, operands, output: call.output + c * (output - call.output)


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.floating) and np.asarray(x).dtype.kind == "f"
