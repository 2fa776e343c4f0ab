"""Functions that are made of several operations: σ and softmax, known by what goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.naming.simulation import Simulation
from scratchlv.gradcheck.naming.tracing import is_float
from scratchlv.gradcheck.trees import same_numbers

Span = tuple[int, int, int]  # the first call, the last call, and which operand of the first goes in


def sigmoids(simulation: Simulation) -> list[list[Span]]:
    """(first call, last call, operand) of each σ, as the rounds of one place: from −z, exp(z) or tanh(z/2) to 1/(1 + e⁻ᶻ)."""
    if simulation.sigmoids is None:
        starts = ("negative", "exp", "multiply", "divide", "expit")
        simulation.sigmoids = list(_composites(simulation, lambda z: 1 / (1 + np.exp(-z)), starts))
    return simulation.sigmoids


def _composites(
    simulation: Simulation, function: Callable[[Any], Any], starts: tuple[str, ...], within: int = 12
) -> Iterator[list[Span]]:
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        if call.name not in starts:
            continue
        for j, z in enumerate(call.operands):
            if not is_float(z) or np.size(z) < 1 or np.shape(z) != np.shape(call.output):
                continue
            with np.errstate(all="ignore"):
                wanted = function(z)
            for length in range(within):
                last = calls[0] + length
                if last >= len(simulation.calls):
                    break
                result = simulation.calls[last].output
                if same_numbers(result, wanted):
                    spans = [(index, index + length, j) for index in calls]
                    if all(last < len(simulation.calls) for _, last, _ in spans):
                        yield spans
                    break


def softmax_spans(simulation: Simulation) -> Iterator[tuple[list[Span], int, bool, float]]:
    """The spans from the scores to the probabilities, the axis, whether it is their logarithm, and the scores' scale."""
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        if call.name != "exp" or np.ndim(call.output) < 1:
            continue
        for back in range(min(5, calls[0] + 1)):
            first = simulation.calls[calls[0] - back]
            z = np.asarray(first.operands[0])
            if (
                z.shape != np.shape(call.output)
                or not is_float(z)
                or (back and first.name not in ("subtract", "divide", "multiply"))
            ):
                continue
            for axis in range(-1, -z.ndim - 1, -1):
                scale = _scale(z - z.max(), np.asarray(call.operands[0]), axis)
                found = None if scale is None else _end_of_softmax(simulation, calls[0], z * scale, axis)
                if found is None or scale is None:
                    continue
                ahead, log = found
                yield [(index - back, index + ahead, 0) for index in calls], axis, log, scale


def _scale(z: np.ndarray, exponent: np.ndarray, axis: int) -> float | None:
    """s if the exponents are s z, but for a constant in each row along an axis."""
    along = np.subtract(z, z.mean(axis, keepdims=True)), np.subtract(exponent, exponent.mean(axis, keepdims=True))
    square = float((along[0] ** 2).sum())
    s = float((along[0] * along[1]).sum()) / square if square else 0.0
    return s if s and np.allclose(s * along[0], along[1], rtol=1e-9, atol=1e-9) else None


def _end_of_softmax(simulation: Simulation, start: int, z: np.ndarray, axis: int) -> tuple[int, bool] | None:
    """How many calls later the probabilities are there, or their logarithms."""
    with np.errstate(all="ignore"):
        e = np.exp(z - z.max(axis, keepdims=True))
        p = e / e.sum(axis, keepdims=True)
    for ahead in range(1, 10):
        if start + ahead >= len(simulation.calls):
            break
        result = np.asarray(simulation.calls[start + ahead].output)
        if result.shape != p.shape:
            continue
        if same_numbers(result, p):
            return ahead, False
        with np.errstate(all="ignore"):
            if same_numbers(np.exp(result), p):
                return ahead, True
    return None
