"""Loops of forward: which of them is over time, what it hands on, and which axis it walks along."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.naming.simulation import FAILURES, Simulation, fingerprint
from scratchlv.gradcheck.naming.tracing import Call, is_float
from scratchlv.gradcheck.naming.wording import operand, result, where

MATRIX_PRODUCTS = {"matmul", "dot", "einsum", "tensordot", "inner"}
INTO_MATRIX = MATRIX_PRODUCTS | {"concatenate", "hstack", "column_stack", "append", "vstack", "stack"}
MOST_ARRAYS = 24


@dataclass(frozen=True)
class Carried:
    """What each round of a loop over time gets from the round before."""

    calls: list[int]  # that take it, one in each round
    j: int  # the operand
    makers: list[int]  # the calls that make it, one in each round


class Loops:
    """What is known about the loops over time.

    A loop is one over time if it hands something on, and does the same with the same weights in every round; a loop over
    layers has other weights in each.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.carried = list(self._carried())
        into_matrix = {c.makers[0] for c in self.carried if simulation.calls[c.calls[0]].name in INTO_MATRIX}
        self.cells = {c.makers[0] for c in self.carried} - into_matrix if into_matrix else set()
        self.initial = {simulation.owner(simulation.calls[c.calls[0]].sources[c.j]) for c in self.carried} - {None}
        self.time_axes = self._time_axes()
        self.output_axis = self._output_axis()

    def _carried(self) -> Iterator[Carried]:
        simulation = self.simulation
        for calls in list(simulation.rounds.values()):
            for j, x in enumerate(simulation.calls[calls[0]].operands if len(calls) > 1 else ()):
                makers = simulation.carried(calls, j) if is_float(x) else None
                if makers is not None and self._same_weights(len(calls)):
                    yield Carried(calls, j, makers)

    def _same_weights(self, rounds: int) -> bool:
        """Whether no place that is run as often has weights of its own in each round."""
        simulation, own = self.simulation, False
        if any(self._multiplies_by_its_own(calls) for calls in simulation.rounds.values() if len(calls) == rounds):
            return False
        for calls in simulation.rounds.values():
            for j in range(len(simulation.calls[calls[0]].sources) if len(calls) == rounds else 0):
                sources = [simulation.calls[index].sources[j] for index in calls]
                names = {simulation.owner(source) for source in sources}
                if names == {None}:
                    continue
                if (
                    len({source.__array_interface__["data"][0] for source in sources if isinstance(source, np.ndarray)})
                    == 1
                ):
                    return True
                own |= len(names) > 1
        return not own

    def _multiplies_by_its_own(self, calls: list[int]) -> bool:
        """Whether each round multiplies what is no input by a matrix of its own, from the right, as a layer does."""
        simulation, first = self.simulation, self.simulation.calls[calls[0]]
        if first.name not in ("matmul", "dot") or len(first.sources) < 2 or np.ndim(first.operands[1]) < 2:
            return False
        sources = [simulation.calls[index].sources[1] for index in calls]
        if any(simulation.owner(source) is None for source in sources):
            return False
        places = {source.__array_interface__["data"][0] for source in sources}
        return len(places) == len(calls) and simulation.owner(simulation.calls[calls[-1]].sources[0]) is None

    def in_time(self, calls: list[int]) -> bool:
        """Whether these are the rounds of one place in a loop over time."""
        return any(_interleaved(calls, carried.calls) for carried in self.carried) if len(calls) > 1 else False

    def _time_axes(self) -> dict[str, int]:
        """The axis of each input that a loop over time takes one step of in every round."""
        simulation, found = self.simulation, dict[str, int]()
        for calls in simulation.rounds.values():
            if not self.in_time(calls):
                continue
            for j in range(len(simulation.calls[calls[0]].sources)):
                sources = [simulation.calls[index].sources[j] for index in calls]
                name = simulation.owner(sources[0])
                axis = None if name is None else _walked(sources, simulation.tracer.leaves[name])
                if name is not None and axis is not None:
                    found.setdefault(name, axis)
        return found

    def _output_axis(self) -> int | None:
        """The axis of the output that is time: what the last round makes goes to its last or first place."""
        y = self.simulation.tracer.y
        if not isinstance(y, np.ndarray) or y.ndim < 1:
            return None
        for carried in self.carried:
            last = carried.makers[-1] if len(carried.makers) == len(carried.calls) else None
            if last is None:
                continue
            try:
                changed = self.simulation.tracer.output({}, {last: lambda call, operands, output: output + 0.25}) != y
            except FAILURES:
                continue
            for axis in range(y.ndim):
                places = np.flatnonzero(np.moveaxis(changed, axis, 0).reshape(y.shape[axis], -1).any(1))
                if y.shape[axis] == len(carried.calls) > 1 and len(places) == 1:
                    return axis
        return None


def _interleaved(calls: list[int], others: list[int]) -> bool:
    """Whether two places are run in turn, round by round."""
    if len(calls) != len(others):
        return False
    return all(a < b for a, b in zip(calls, others[1:], strict=False)) and all(
        a < b for a, b in zip(others, calls[1:], strict=False)
    )


def _walked(sources: list[Any], leaf: np.ndarray) -> int | None:
    """The axis along which the slices of an array lie, one after another."""
    places = {source.__array_interface__["data"][0] - leaf.__array_interface__["data"][0] for source in sources}
    for axis, (stride, length) in enumerate(zip(leaf.strides, leaf.shape, strict=True)):
        if length == len(sources) > 1 and places == {k * stride for k in range(length)}:
            return axis
    return None


def arrays(simulation: Simulation, count: int, shape: tuple[int, ...]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Arrays of a shape that places of the code deal with in each of their ``count`` rounds, each of them once."""
    seen = set[Any]()
    for calls in simulation.rounds.values():
        if len(calls) != count:
            continue
        first = simulation.calls[calls[0]]
        for j, x in [(None, first.output), *enumerate(first.operands)]:
            if not is_float(x) or np.shape(x) != shape or len(seen) > MOST_ARRAYS:
                continue
            found = [simulation.calls[i].output if j is None else simulation.calls[i].operands[j] for i in calls]
            if any(np.shape(value) != shape for value in found):
                continue
            key = tuple(fingerprint(value) for value in found)
            if key not in seen:
                seen.add(key)
                text = result(first) if j is None else operand(first, j, shortly=True)
                yield text, [np.asarray(value) for value in found]


def constants(simulation: Simulation) -> dict[float, str]:
    """The numbers that forward multiplies by, and what it means if they are missing in backward, or there twice."""
    found = dict[float, str]()
    for index, call in enumerate(simulation.calls):
        if call.name not in ("multiply", "divide") or len(call.operands) != 2:
            continue
        for j in (0, 1):
            mask = np.asarray(call.operands[1 - j])
            held = np.unique(mask.astype(float)) if mask.dtype.kind in "bfiu" and mask.size > 1 else np.zeros(0)
            if len(held) == 2 and held[0] == 0 and held[1] != 1 and not are_labels(simulation, mask):
                found.setdefault(abs(float(held[1])), cause("dropout scale"))
            if len(held) == 2 and held[0] == 0 and index + 1 < len(simulation.calls):
                scale = constant_of(simulation.calls[index + 1], 0)
                if scale is not None and scale > 1:
                    found.setdefault(scale, cause("dropout scale"))
            number = constant_of(call, j)
            exponent = any(later.name == "exp" for later in simulation.calls[index : index + 4])
            if number is not None and number > 0 and not _is_whole(number) and (exponent or number not in (2.0, 0.5)):
                root = not math.sqrt(max(number, 1 / number) ** 2).is_integer()
                squared = max(number, 1 / number) ** 2
                if root and abs(squared - round(squared)) < 1e-6 * squared:
                    found.setdefault(number, cause("scale"))
                found.setdefault(number, cause("constant scale", number=f"{number:.4g}", where=where(call)))
    return found


def are_labels(simulation: Simulation, mask: np.ndarray) -> bool:
    """Whole numbers among the inputs, times something, that are not called a mask."""
    return any(
        isinstance(value, np.ndarray)
        and value.dtype.kind in "iu"
        and not any(word in name.lower() for word in ("mask", "keep", "drop"))
        and value.shape == mask.shape
        and np.array_equal(value != 0, mask != 0)
        for name, value in simulation.evidence.inputs.items()
    )


def _is_whole(number: float) -> bool:
    """Whether a number, or one over it, is a count of more than two: then it makes a mean."""
    larger = max(number, 1 / number)
    return larger > 2.5 and abs(larger - round(larger)) < 1e-9 * larger


def constant_of(call: Call, j: int) -> float | None:
    """The number that a product or a quotient multiplies operand j by."""
    if call.name not in ("multiply", "divide", "true_divide") or len(call.operands) != 2:
        return None
    other = np.asarray(call.operands[1 - j])
    if (
        other.size != 1
        or other.dtype.kind not in "fiu"
        or not float(other.reshape(-1)[0])
        or (j and call.name != "multiply")
    ):
        return None
    number = float(other.reshape(-1)[0])
    return number if call.name == "multiply" else 1 / number


def divisors(simulation: Simulation) -> set[float]:
    """The numbers that forward divides by, on its own or in a mean."""
    found = set[float]()
    for call in simulation.calls:
        if call.name in ("mean", "var", "std") and np.size(call.output):
            found.add(np.size(call.operands[0]) / np.size(call.output))
        if call.name in ("divide", "true_divide", "multiply"):
            for x in call.operands:
                if np.size(x) == 1 and np.asarray(x).dtype.kind in "fiub" and float(np.asarray(x).reshape(-1)[0]):
                    number = abs(float(np.asarray(x).reshape(-1)[0]))
                    found.add(number if call.name != "multiply" else 1 / number)
    return found
