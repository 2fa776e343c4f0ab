"""Which change of forward has the gradients that backward computes: the bug, seen from the other side.

A :class:`Simulation` knows the slopes of a changed forward, along random directions, and whether they are what backward
returns. A change that explains every gradient explains the bug, whatever backward's code looks like.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.tracing import Call, Change, Diverged, Tracer, is_float
from scratchlv.gradcheck.trees import dot, leaves, random_like

STEP = 2.0**-18
DIRECTIONS = 2
OUTPUT_GRADIENTS = 3
FIT = 1e-4  # of what is wrong: how much of it an explanation may leave
ROUNDING = 2e-8  # of a slope
ROUGHLY = 1e-5  # of a slope that is one-sided
FAILURES = (Diverged, ValueError, IndexError, TypeError, FloatingPointError, KeyError, AttributeError)


class Simulation:
    """Slopes of forward, as it is and with changes, against the gradients that backward returns.

    They are taken for several output gradients: those of the inputs are linear functions of them, and each tells more.
    """

    def __init__(self, evidence: Evidence, deadline: float) -> None:
        """Raises: whatever forward raises if it is watched."""
        assert evidence.forward is not None
        self.deadline = deadline
        self.names = list(evidence.analytic)
        self.wrong = list(evidence.wrong)
        self.evidence = evidence
        self.tracer = Tracer(evidence.forward, evidence.inputs, self.names)
        self.calls = self.tracer.calls
        self.dys, self.grads = _gradients(evidence)
        rng = np.random.default_rng(1)
        self.directions = {name: _directions(np.shape(evidence.inputs[name]), rng) for name in self.names}
        self.got = {name: self.along(name, self.directions[name]) for name in self.names}
        self.true = {name: self._slopes(name, {}) for name in self.names}
        self.rounds: dict[tuple, list[int]] = defaultdict(list)  # the calls at one place of the code, in order
        for index, call in enumerate(self.calls):
            self.rounds[(call.name, call.place)].append(index)
        self.sigmoids: list[list[tuple[int, int, int]]] | None = None  # once they are found, see composites.py
        self._made_by: dict[Any, list[int]] = defaultdict(list)  # the calls that make a value
        for index, call in enumerate(self.calls):
            self._made_by[fingerprint(call.output)].append(index)

    @property
    def trusted(self) -> bool:
        """Whether the unchanged forward has the slopes that the check has found."""
        right = [name for name in self.names if name not in self.wrong]
        return all(self._fits(name, self.true[name]) for name in right) and not any(
            self._fits(name, self.true[name]) for name in self.wrong
        )

    @property
    def late(self) -> bool:
        return time.process_time() > self.deadline

    def along(self, name: str, directions: list[np.ndarray]) -> np.ndarray:
        """What the gradients that backward returns say of some directions, for each output gradient."""
        return np.array([[float((grads[name] * v).sum()) for grads in self.grads] for v in directions])

    def slope(self, moved: Mapping[str, np.ndarray], changes: Mapping[int, Change]) -> np.ndarray:
        """Of the loss, along a direction of the inputs, for each output gradient."""
        ahead, behind = (
            self._losses({name: sign * STEP * v for name, v in moved.items()}, changes) for sign in (1, -1)
        )
        return (ahead - behind) / (2 * STEP)

    def _losses(self, moved: Mapping[str, np.ndarray], changes: Mapping[int, Change]) -> np.ndarray:
        y = self.tracer.output(dict(moved), changes)
        return np.array([dot(dy, y) for dy in self.dys])

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
            return self._roughly(changes) and all(
                self._fits(name, self._slopes(name, changes)) for name in [*self.wrong, *self.names]
            )
        except FAILURES:
            return False

    def _roughly(self, changes: Mapping[int, Change]) -> bool:
        """The same for all inputs at once, with one run more."""
        together = {name: STEP / 4 * self.directions[name][0] for name in self.names}
        start = np.array([dot(dy, self.tracer.y) for dy in self.dys])
        slopes = (self._losses(together, changes) - start) / (STEP / 4)
        got, true = (sum(s[name][0] for name in self.names) for s in (self.got, self.true))
        scale = sum(np.abs(self.true[name][0]).max() + np.abs(self.got[name][0]).max() for name in self.names)
        gap = sum(np.abs(self.got[name][0] - self.true[name][0]).max() for name in self.names)
        return bool((np.abs(slopes - got) <= 10 * FIT * gap + ROUGHLY * scale).all()) and bool(np.isfinite(true).all())

    def explained(self, changes: Mapping[int, Change]) -> tuple[tuple[str, ...], bool]:
        """The wrong gradients that are what they would be with these changes, and whether the right ones would be right."""
        try:
            found = tuple(
                name
                for name in self.wrong
                if (np.size(self.got[name]) > 2 or np.size(self.evidence.inputs[name]) > 1)
                and self._fits(name, self._slopes(name, changes))
            )
            right = [name for name in self.names if name not in self.wrong]
            return found, bool(found) and all(self._fits(name, self._slopes(name, changes)) for name in right)
        except FAILURES:
            return (), False

    @contextmanager
    def by_helper(self) -> Iterator[bool]:
        """The calls of one line of a helper belong together, wherever it is called from; whether there is such a line."""
        before, together = self.rounds, defaultdict(list)
        for index, call in enumerate(self.calls):
            together[(call.name, call.place[:1])].append(index)
        try:
            self.rounds = together
            yield len(together) < len(before)
        finally:
            self.rounds = before

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

    def maker(self, index: int, j: int) -> int | None:
        """The call that makes an operand: the last one before that has its value as its result."""
        found = [k for k in self._made_by.get(fingerprint(self.calls[index].operands[j]), ()) if k < index]
        return found[-1] if found else None

    def carried(self, calls: list[int], j: int) -> list[int] | None:
        """The calls that make operand ``j`` in one round for the next, if the calls are the rounds of a loop that does so."""
        if len(calls) < 2:
            return None
        makers = [self.maker(index, j) for index in calls[1:]]
        known = [maker for maker in makers if maker is not None]
        if len(known) != len(makers) or len({(self.calls[k].name, self.calls[k].place) for k in known}) != 1:
            return None
        if [self.calls[k].round for k in known] != list(range(len(known))):
            return None
        if any(maker < before for maker, before in zip(known, calls, strict=False)):
            return None
        return self.rounds[(self.calls[known[0]].name, self.calls[known[0]].place)]


def _gradients(evidence: Evidence) -> tuple[list[Any], list[dict[str, np.ndarray]]]:
    """Output gradients, and what backward makes of them; the one of the check, and others if backward can be asked."""
    dys, grads = [evidence.dy], [evidence.analytic]
    rng = np.random.default_rng(3)
    several = any(np.size(leaf) > 1 for leaf in leaves(evidence.dy))
    while several and evidence.backward is not None and len(dys) < OUTPUT_GRADIENTS:
        dy = random_like(evidence.y, rng)
        try:
            found = {name: np.asarray(grad, np.float64) for name, grad in evidence.backward(dy).items()}
        except Exception:  # the operation under test may not serve it
            break
        if any(name not in found or found[name].shape != grad.shape for name, grad in evidence.analytic.items()):
            break
        dys.append(dy)
        grads.append(found)
    return dys, grads


def _directions(shape: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
    found = [rng.standard_normal(shape) for _ in range(DIRECTIONS)]
    return [direction / (np.linalg.norm(direction) or 1.0) for direction in found]


def fingerprint(x: Any) -> Any:
    return (np.shape(x), np.ascontiguousarray(x).tobytes()) if isinstance(x, np.ndarray | np.generic) else None


def scaled(j: int, c: float) -> Change:
    """Operand ``j`` counts ``c`` times in the slopes."""

    def change(call: Call, operands: list[Any], output: Any) -> Any:
        then = call.operands[j]
        if not is_float(then):
            return output
        return call.again([then + c * moved(x, then) if i == j else x for i, x in enumerate(operands)])

    return change


def moved(x: Any, then: Any) -> Any:
    """What an operand is moved by; 0 where it is infinite."""
    if not is_float(then):
        return np.zeros(np.shape(then))
    return np.where(np.isfinite(then), np.subtract(x, np.where(np.isfinite(then), then, 0)), 0)


def scaled_output(c: float) -> Change:
    """The whole operation counts ``c`` times in the slopes."""
    return lambda call, operands, output: call.output + c * (output - call.output)
