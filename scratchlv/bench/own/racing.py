"""Somebody's kernel, timed: on numbers that change from call to call, and looked at once more when the race is over.

Who keeps the results of earlier calls gains nothing: before each call some of the numbers that it gets are replaced where they
lie, the result of the last call must be that of the numbers it had, and at the end the kernel is checked on inputs of the timed
shape that it has never seen, after memory of the results' size was filled with NaN and freed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchlv import ops
from scratchlv.bench.own.loading import Own, Refused
from scratchlv.bench.rows import Version
from scratchlv.bench.workloads import ROOMS, Workload
from scratchlv.gradcheck.compare import step_results
from scratchlv.gradcheck.trees import as_float32, leaves, random_like

_CHANGED = 64  # numbers of each array, before each call; of a small one fewer
_FACTOR = np.float32(-8)  # so that results change by much more than rounding
_ALLOWED = 1e-4  # of the largest number; how exact a kernel is, the cases of the room have told


class Race:
    """A kernel of one's own as the bench times it."""

    def __init__(self, own: Own, name: str, seed: int) -> None:
        self.own, self.name = own, name
        self._reference = getattr(ops, own.operation).variant("reference")
        self._rng = np.random.default_rng(seed)
        self._last: dict[str, Callable[[], None]] = {}

    def version(self) -> Version:
        """For the table, beside the room's own versions."""
        return Version(self.name, "", self._calls, lambda inputs: "", self.own.limits)

    def check_afterwards(self) -> None:
        """
        Raises:
            Refused: the last results are not those of the last numbers, or new numbers make a wrong result.
        """
        for look in self._last.values():
            look()
        room = ROOMS[self.own.operation]
        inputs = room.make(self._rng, room.sizes[-1]).inputs
        _poison(inputs)
        got, expected = (self._results(module, copy.deepcopy(inputs)) for module in (self.own, self._reference))
        _must_be(got, expected, "on new inputs of the timed shape a result is wrong")

    def _results(self, module: Any, inputs: dict[str, Any]) -> list[Any]:
        if self.own.passes == "step":
            return [*step_results(module, self._reference, inputs).values()]
        y, cache = module.forward(**inputs)
        return [y, *module.backward(as_float32(random_like(y, np.random.default_rng(1))), cache)]

    # --- the calls that are timed ---

    def _calls(self, workload: Workload) -> dict[str, Callable[[], Any]]:
        if self.own.passes == "step":
            return {"step": self._step(copy.deepcopy(workload.inputs))}
        return {part: self._pass(part, copy.deepcopy(workload.inputs)) for part in workload.costs}

    def _step(self, given: dict[str, Any]) -> Callable[[], Any]:
        """It changes its arrays itself, and what it makes of them is looked at on new ones alone."""
        step, changing = self.own.bare("step"), _Changing(given["grads"], self._rng)

        def call() -> Any:
            changing.change()
            return step(**given)

        return call

    def _pass(self, part: str, given: dict[str, Any]) -> Callable[[], Any]:
        forward, backward, reference = self.own.bare("forward"), self.own.bare("backward"), self._reference
        y, cache = self.own.forward(**given)
        dy = as_float32(random_like(y, self._rng))
        bare = {
            "forward": lambda: forward(**given)[0],
            "backward": lambda: tuple(backward(dy, cache)),
            "both": lambda: tuple(backward(dy, forward(**given)[1])),
        }[part]
        changing, kept = _Changing(dy if part == "backward" else given, self._rng), {}

        def call() -> Any:
            changing.change()
            kept["result"] = result = bare()
            return result

        def look() -> None:
            y, cache = reference.forward(**given)
            expected = y if part == "forward" else tuple(reference.backward(dy, cache))
            told = f"{part}: the last result that was timed is not that of the numbers it was given: an earlier one was kept"
            _must_be(kept["result"], expected, told)

        self._last[part] = look
        return call


class _Changing:
    """Arrays of which some numbers are others at each call, where they lie, and all the others what they were."""

    def __init__(self, value: Any, rng: np.random.Generator) -> None:
        self._arrays, self._rng = _floats(value), rng
        self._changed: list[tuple[np.ndarray, np.ndarray]] = []

    def change(self) -> None:
        for part, before in self._changed:
            part[...] = before
        self._changed.clear()
        for array in self._arrays:
            n = min(_CHANGED, -(-array.size // _CHANGED))
            first = int(self._rng.integers(array.size - n + 1))
            part = array.reshape(-1)[first : first + n]
            self._changed.append((part, part.copy()))
            part *= _FACTOR


def _floats(value: Any) -> list[np.ndarray]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" and leaf.size]


def _must_be(got: Any, expected: Any, told: str) -> None:
    """
    Raises:
        Refused: a result is another one than float32 can explain.
    """
    pairs = [*leaves(got)], [*leaves(expected)]
    if len(pairs[0]) != len(pairs[1]):
        raise Refused(told)
    for ours, theirs in ((np.asarray(a), np.asarray(b)) for a, b in zip(*pairs, strict=True)):
        with np.errstate(invalid="ignore"):  # NaN is no number's
            apart = np.abs(ours - theirs).max(initial=0) if ours.shape == theirs.shape else np.inf
        if not apart <= _ALLOWED * np.abs(theirs).max(initial=0):
            raise Refused(told)


def _poison(inputs: dict[str, Any]) -> None:
    """Memory of the size of what a kernel returns, filled with NaN and freed: an array that is not written will hold it."""
    for size in sorted({array.size for array in _floats(inputs)}):
        np.full(size, np.nan, np.float32)
