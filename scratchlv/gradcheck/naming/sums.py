"""Suspects of sums: a weight's gradient that is not summed over the batch, sums and means over the wrong axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.naming.loops import MATRIX_PRODUCTS, Loops
from scratchlv.gradcheck.naming.simulation import Simulation
from scratchlv.gradcheck.naming.suspects import Suspect, float_operands
from scratchlv.gradcheck.naming.tracing import Call, Change, is_float
from scratchlv.gradcheck.naming.wording import where

ELEMENTWISE = {"add", "subtract", "multiply", "divide", "true_divide"}


def sums(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    for calls in simulation.rounds.values():
        call = simulation.calls[calls[0]]
        for j, source in enumerate(call.sources):
            if is_float(source) and simulation.owner(source) is not None:
                yield from _one_row(simulation, calls, call, j)
                yield from _other_broadcast(calls, call, j)
        if call.name in ("mean", "sum") and float_operands(call) == [0]:
            yield from _other_axis(calls, call)


def _one_row(simulation: Simulation, calls: list[int], call: Call, j: int) -> Iterator[Suspect]:
    """Of the rows of the output that an operand goes into, only one has its gradient."""
    output = np.asarray(call.output)
    for axis in range(output.ndim):
        if output.shape[axis] < 2 or not _spread_along(call, j, axis):
            continue
        if axis and any(name == "max" for name, _ in simulation.rounds):  # which row it is may be the maximum's bug
            continue
        for row in (0, -1):
            text = f"with the {'first' if row == 0 else 'last'} row only of what is summed, in {where(call)}"
            words = cause("batch sum") if axis == 0 else cause("sum", axis=f"axis {axis}")
            yield Suspect({index: _only_row(j, axis, row) for index in calls}, text, words)


def _spread_along(call: Call, j: int, axis: int) -> bool:
    """Whether an operand is used for each place along an axis of the output."""
    output, own = np.asarray(call.output), np.asarray(call.operands[j])
    if call.name in ELEMENTWISE:
        k = axis - (output.ndim - own.ndim)
        return k < 0 or own.shape[k] == 1
    if call.name not in MATRIX_PRODUCTS:
        return False
    if call.name in ("matmul", "dot"):
        return j == 1 and axis < output.ndim - (1 if own.ndim > 1 else 0)
    return axis < output.ndim - 1


def _only_row(j: int, axis: int, row: int) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        still = np.asarray(call.again([call.operands[j] if i == j else x for i, x in enumerate(operands)]))
        keep = np.zeros(still.shape[axis])
        keep[row] = 1
        return still + (output - still) * keep.reshape(-1, *(1,) * (still.ndim - axis - 1))

    return change


def _other_broadcast(calls: list[int], call: Call, j: int) -> Iterator[Suspect]:
    """b of shape (H,) moves the rows, not the columns: its gradient is a sum over the wrong axis."""
    output, b = np.asarray(call.output), np.asarray(call.operands[j])
    if call.name not in ("add", "subtract", "multiply") or b.ndim != 1 or output.ndim < 2:
        return
    for axis in range(output.ndim - 1):
        if output.shape[axis] != len(b):
            continue

        def change(call: Call, operands: list[Any], output: Any, axis: int = axis) -> Any:
            still = np.asarray(call.again([call.operands[j] if i == j else x for i, x in enumerate(operands)]))
            moved = (operands[j] - call.operands[j]).reshape(-1, *(1,) * (still.ndim - axis - 1))
            factor = call.operands[1 - j] if call.name == "multiply" else -1.0 if call.name == "subtract" and j else 1.0
            return still + factor * moved

        yield Suspect(dict.fromkeys(calls, change), f"summed over another axis in {where(call)}", cause("wrong axis"))


def _other_axis(calls: list[int], call: Call) -> Iterator[Suspect]:
    """A sum or a mean over another axis on the way back; kept as an axis, so that it spreads over the right shape."""
    x = np.asarray(call.operands[0])
    if x.ndim < 2 or np.ndim(call.output) != x.ndim:
        return
    for axis in range(x.ndim):
        if np.shape(call.output)[axis] == 1 or x.shape[axis] < 2:
            continue

        def change(call: Call, operands: list[Any], output: Any, axis: int = axis) -> Any:
            moved = np.asarray(operands[0]) - call.operands[0]
            return call.output + getattr(moved, call.name)(axis=axis, keepdims=True)

        text = f"with {where(call)} over axis {axis}"
        yield Suspect(dict.fromkeys(calls, change), text, cause("wrong axis"))
