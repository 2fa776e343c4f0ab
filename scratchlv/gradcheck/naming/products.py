"""Suspects of products: their gradient is taken with the wrong array, or a matrix is not transposed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.naming.composites import sigmoids
from scratchlv.gradcheck.naming.loops import MATRIX_PRODUCTS, Loops, arrays
from scratchlv.gradcheck.naming.simulation import Simulation
from scratchlv.gradcheck.naming.suspects import Changes, Suspect, float_operands
from scratchlv.gradcheck.naming.tracing import Call, Change, is_float
from scratchlv.gradcheck.naming.wording import operand_text, ordinal, where
from scratchlv.gradcheck.trees import same_numbers

PRODUCTS = MATRIX_PRODUCTS | {"multiply", "divide", "true_divide", "outer"}
MOST_PAIRS = 60


def with_factor(j: int, other: int, factor: Any) -> Change:
    """The slope by operand j takes another factor for operand ``other``."""

    def change(call: Call, operands: list[Any], output: Any) -> Any:
        moved = [x if i != j else operands[j] - call.operands[j] for i, x in enumerate(call.operands)]
        moved[other] = factor
        still = call.again([call.operands[j] if i == j else x for i, x in enumerate(operands)])
        return still + call.again(moved)

    return change


def products(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    kinds = (_transposed, _of_another_step, _flipped, _without_factor, _of_another_array)
    for kind in kinds:
        for calls, j, other in _edges(simulation):
            yield from kind(simulation, loops, calls, j, other)
    yield from _exchanged(simulation)


def _edges(simulation: Simulation) -> Iterator[tuple[list[int], int, int]]:
    """(calls, operand, other operand) of every product; of a quotient, the numerator's only."""
    for calls in simulation.rounds.values():
        call = simulation.calls[calls[0]]
        active = float_operands(call)
        if call.name not in PRODUCTS or len(active) != 2:
            continue
        j, other = active
        yield calls, j, other
        if "divide" not in call.name:
            yield calls, other, j


def _transposed(simulation: Simulation, loops: Loops, calls: list[int], j: int, other: int) -> Iterator[Suspect]:
    call = simulation.calls[calls[0]]
    if call.name not in MATRIX_PRODUCTS:
        return
    W = np.asarray(call.operands[other])
    shape = np.shape(call.output)
    if W.ndim >= 2 and square_blocks(W) is not None:
        changes = {
            index: with_factor(j, other, square_blocks(np.asarray(simulation.calls[index].operands[other])))
            for index in calls
        }
        in_loop = loops.in_time(calls) and simulation.carried(calls, j) is not None
        owner = simulation.owner(call.sources[other])
        key = "W for Wᵀ in time" if in_loop else "W for Wᵀ" if owner else "transposed"
        yield Suspect(changes, f"with {owner or 'a factor'} for its transpose in {where(call)}", cause(key))
    if len(shape) >= 2 and shape[-1] == shape[-2] > 1:

        def flipped(call: Call, operands: list[Any], output: Any) -> Any:
            still = np.asarray(call.again([call.operands[j] if i == j else x for i, x in enumerate(operands)]))
            return still + (output - still).swapaxes(-1, -2)

        yield Suspect(dict.fromkeys(calls, flipped), f"with {where(call)} transposed", cause("transposed"))


def square_blocks(W: np.ndarray) -> np.ndarray | None:
    """The matrix with its square blocks transposed: (H, H), (H, kH) or (kH, H)."""
    rows, columns = W.shape[-2:]
    if rows < 2 or columns < 2 or (columns % rows and rows % columns):
        return None
    if columns >= rows:
        return np.concatenate([part.swapaxes(-1, -2) for part in np.split(W, columns // rows, -1)], -1)
    return np.concatenate([part.swapaxes(-1, -2) for part in np.split(W, rows // columns, -2)], -2)


def _changes(simulation: Simulation, calls: list[int], j: int, other: int, factors: list[Any]) -> Changes:
    return {index: with_factor(j, other, factor) for index, factor in zip(calls, factors, strict=True)}


def _of_another_step(simulation: Simulation, loops: Loops, calls: list[int], j: int, other: int) -> Iterator[Suspect]:
    call = simulation.calls[calls[0]]
    if not loops.in_time(calls) or "divide" in call.name:
        return
    values = [simulation.calls[index].operands[other] for index in calls]
    makers = simulation.carried(calls, other)
    if makers is not None and len(makers) == len(calls):
        later = [simulation.calls[maker].output for maker in makers]
        name, key = ("c", "c_t") if makers[0] in loops.cells else ("h", "h_t")
        text = f"with {name}_t for {name}_{{t−1}} in {where(call)}"
        yield Suspect(_changes(simulation, calls, j, other, later), text, cause(key))
    for shift, end in itertools.product((1, -1), ("zero", "wrapped", "same")):
        text = f"with the step {'after' if shift > 0 else 'before'} in {where(call)}"
        factors = _shifted(values, shift, end)
        yield Suspect(_changes(simulation, calls, j, other, factors), text, cause("off by one"))


def _shifted(values: list[Any], shift: int, end: str) -> list[Any]:
    found = []
    for k in range(len(values)):
        i = k + shift
        outside = {"zero": values[k] * 0.0, "wrapped": values[i % len(values)], "same": values[k]}
        found.append(values[i] if 0 <= i < len(values) else outside[end])
    return found


def _flipped(simulation: Simulation, loops: Loops, calls: list[int], j: int, other: int) -> Iterator[Suspect]:
    """A kernel that slides over its input, the wrong way round."""
    call = simulation.calls[calls[0]]
    kernel = np.asarray(call.operands[other])
    owner = simulation.owner(call.sources[other])
    if owner is None or loops.in_time(calls) or len(calls) < 2 or kernel.ndim < 1:
        return
    spatial = [axis for axis in range(kernel.ndim) if kernel.shape[axis] > 1][-2:]
    for axes in (tuple(spatial), tuple(spatial[-1:])):
        factors = [np.flip(np.asarray(simulation.calls[index].operands[other]), axes) for index in calls]
        text = f"with {owner} flipped in {where(call)}"
        yield Suspect(_changes(simulation, calls, j, other, factors), text, cause("kernel not flipped"))


def _without_factor(simulation: Simulation, loops: Loops, calls: list[int], j: int, other: int) -> Iterator[Suspect]:
    call = simulation.calls[calls[0]]
    factor = np.asarray(call.operands[other])
    if call.name in MATRIX_PRODUCTS or call.name == "outer" or factor.size < 2:
        return
    which = (
        simulation.owner(call.sources[other]) or operand_text(call, other) or f"that is its {ordinal(other)} operand"
    )
    values = [np.asarray(simulation.calls[index].operands[other]) for index in calls]
    for factors, text, key in (
        ([np.ones_like(value) for value in values], "without the factor", "missing factor"),
        ([value**2 for value in values], "with twice the factor", "factor twice"),
    ):
        words = cause(key, which=f": {which}")
        yield Suspect(_changes(simulation, calls, j, other, factors), f"{text} {which} in {where(call)}", words)


def _of_another_array(simulation: Simulation, loops: Loops, calls: list[int], j: int, other: int) -> Iterator[Suspect]:
    """Other arrays of that round, or of the inputs, also transposed."""
    call = simulation.calls[calls[0]]
    own = np.asarray(call.operands[other])
    if own.size < 2:
        return
    for text, values in arrays(simulation, len(calls), own.shape):
        yield _with_other(simulation, calls, j, other, text, values)
    if call.name in MATRIX_PRODUCTS and own.ndim >= 2:
        shape = (*own.shape[:-2], own.shape[-1], own.shape[-2])
        for text, values in arrays(simulation, len(calls), shape):
            yield _with_other(simulation, calls, j, other, text, [value.swapaxes(-1, -2) for value in values])
    for name, value in simulation.evidence.inputs.items():
        if len(calls) == 1 and is_float(value) and np.shape(value) == own.shape:
            yield _with_other(simulation, calls, j, other, name, [np.asarray(value)])


def _with_other(
    simulation: Simulation, calls: list[int], j: int, other: int, text: str, values: list[np.ndarray]
) -> Suspect:
    what = f"with {text} as a factor in {where(simulation.calls[calls[0]])}"
    words = _wrong_array(simulation, calls, other, values)
    own = operand_text(simulation.calls[calls[0]], other)
    if words == cause("wrong array") and own and text.count("`") == 2 and "result" not in text:
        same = text == f"`{own}`"
        words = cause("wrong array", which=f": another value of {text}" if same else f": {text} for `{own}`")
        what = what.replace(f"with {text} as", f"with another value of {text} as") if same else what
    return Suspect(_changes(simulation, calls, j, other, values), what, words)


def _wrong_array(simulation: Simulation, calls: list[int], other: int, values: list[np.ndarray]) -> str:
    """One gate, or 1 − a gate, for another; an old state for the new one; or just the wrong array."""
    gates = [np.asarray(simulation.calls[spans[0][1]].output) for spans in sigmoids(simulation)]
    own = np.asarray(simulation.calls[calls[0]].operands[other])
    if all(any(same_numbers(x, gate) or same_numbers(x, 1 - gate) for gate in gates) for x in (own, values[0])):
        return f"{cause('gates')}: one gate, or 1 − a gate, for another"
    makers = {}
    for (name, place), rounds in simulation.rounds.items():
        if len(rounds) == len(calls) > 1:
            makers[name, place] = [np.asarray(simulation.calls[index].output) for index in rounds]
    for outputs in makers.values():
        now = all(
            same_numbers(simulation.calls[i].operands[other], output) for i, output in zip(calls, outputs, strict=True)
        )
        if now and all(same_numbers(value, output) for value, output in zip(values[1:], outputs, strict=False)):
            return cause("h_{t−1}")
    return cause("wrong array")


def _exchanged(simulation: Simulation) -> Iterator[Suspect]:
    """Two products of a round have each other's factors."""
    edges = [
        (calls, j, other)
        for calls, j, other in _edges(simulation)
        if simulation.calls[calls[0]].name == "multiply" and np.size(simulation.calls[calls[0]].operands[other]) > 1
    ]
    for (calls, j, other), (theirs, k, their_other) in itertools.islice(itertools.combinations(edges, 2), MOST_PAIRS):
        first, second = simulation.calls[calls[0]], simulation.calls[theirs[0]]
        if len(calls) != len(theirs) or calls == theirs or np.shape(first.output) != np.shape(second.output):
            continue
        mine = [simulation.calls[index].operands[other] for index in calls]
        yours = [simulation.calls[index].operands[their_other] for index in theirs]
        changes = _changes(simulation, calls, j, other, yours) | _changes(simulation, theirs, k, their_other, mine)
        text = f"with the factors of {where(first)} and {where(second)} exchanged"
        yield Suspect(changes, text, cause("gates") if gated(simulation) else cause("wrong array"))


def gated(simulation: Simulation) -> bool:
    """Forward has σ and tanh, as gates do; a σ may be made of tanh, too."""
    names = [name for name, _ in simulation.rounds]
    return "tanh" in names and (bool({"exp", "expit"} & set(names)) or names.count("tanh") > 1)
