"""Suspects of single functions: wrong local derivatives of tanh, σ, softmax and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.naming.composites import Span, sigmoids, softmax_spans
from scratchlv.gradcheck.naming.loops import Loops, arrays
from scratchlv.gradcheck.naming.places import with_slope
from scratchlv.gradcheck.naming.simulation import Simulation, fingerprint
from scratchlv.gradcheck.naming.suspects import Changes, Suspect
from scratchlv.gradcheck.naming.tracing import Call

Slope = Callable[[np.ndarray, np.ndarray], np.ndarray]  # from what goes in and comes out

TANH: dict[str, Slope] = {
    "1": lambda z, h: np.ones_like(h),
    "1 − h": lambda z, h: 1 - h,
    "1 + h²": lambda z, h: 1 + h**2,
    "1 + h": lambda z, h: 1 + h,
    "h (1 − h)": lambda z, h: h * (1 - h),
    "1 − z²": lambda z, h: 1 - z**2,
    "1 − tanh²(h)": lambda z, h: 1 - np.tanh(h) ** 2,
    "1 − |h|": lambda z, h: 1 - np.abs(h),
    "(1 − h²)²": lambda z, h: (1 - h**2) ** 2,
    "(1 − h)²": lambda z, h: (1 - h) ** 2,
    "h²": lambda z, h: h**2,
    "h": lambda z, h: h,
    "√(1 − h²)": lambda z, h: np.sqrt(1 - h**2),
    "1 − h³": lambda z, h: 1 - h**3,
}
SIGMOID: dict[str, Slope] = {
    "1": lambda z, s: np.ones_like(s),
    "s": lambda z, s: s,
    "1 − s": lambda z, s: 1 - s,
    "1 − s²": lambda z, s: 1 - s**2,
    "s (1 + s)": lambda z, s: s * (1 + s),
    "s²": lambda z, s: s**2,
    "(1 − s)²": lambda z, s: (1 - s) ** 2,
    "s (1 − s²)": lambda z, s: s * (1 - s**2),
    "s² (1 − s)": lambda z, s: s**2 * (1 - s),
    "s (1 − s)²": lambda z, s: s * (1 - s) ** 2,
    "z (1 − z)": lambda z, s: z * (1 - z),
    "σ(s) (1 − σ(s))": lambda z, s: 1 / (1 + np.exp(-s)) * (1 - 1 / (1 + np.exp(-s))),
    "1 − 2 s": lambda z, s: 1 - 2 * s,
}
OTHERS: dict[str, dict[str, Slope]] = {
    "exp": {"1": lambda z, y: np.ones_like(y), "z": lambda z, y: z, "1/y": lambda z, y: 1 / y},
    "log": {"1": lambda z, y: np.ones_like(y), "z": lambda z, y: z, "1/y": lambda z, y: 1 / y},
    "sqrt": {
        "1": lambda z, y: np.ones_like(y),
        "1/√z": lambda z, y: 1 / y,
        "√z/2": lambda z, y: y / 2,
        "1/(2 z)": lambda z, y: 0.5 / z,
        "2 √z": lambda z, y: 2 * y,
    },
    "square": {"1": lambda z, y: np.ones_like(y), "z": lambda z, y: z, "2": lambda z, y: 2 * np.ones_like(y)},
    "power": {"1": lambda z, y: np.ones_like(y), "z": lambda z, y: z, "2": lambda z, y: 2 * np.ones_like(y)},
    "absolute": {"1": lambda z, y: np.ones_like(y), "z": lambda z, y: z, "|z|": lambda z, y: y},
    "abs": {"1": lambda z, y: np.ones_like(y)},
    "log1p": {"1/z": lambda z, y: 1 / z, "1": lambda z, y: np.ones_like(y)},
}


SOFTPLUS: dict[str, Slope] = {  # log1p of z = exp x, whose own slope is z
    "1": lambda z, y: 1 / z,
    "1 − σ": lambda z, y: 1 / (z * (1 + z)),
    "σ (1 − σ)": lambda z, y: 1 / (1 + z) ** 2,
    "exp": lambda z, y: np.ones_like(y),
}


def between(first: int, last: int, j: int, slope: Callable[[np.ndarray], np.ndarray]) -> Changes:
    """What several operations make of operand j of the first has these slopes: ``slope(δ)`` is what the last is moved by."""
    box: dict[str, np.ndarray] = {}

    def remember(call: Call, operands: list[Any], output: Any) -> Any:
        box["moved"] = operands[j] - call.operands[j]
        return output

    def replace(call: Call, operands: list[Any], output: Any) -> Any:
        return call.output + slope(box["moved"])

    if first == last:
        return {first: lambda call, operands, output: call.output + slope(operands[j] - call.operands[j])}
    return {first: remember, last: replace}


# --- Functions of single numbers ------------------------------------------------------------------------------------


def elementwise(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        if call.name == "tanh":
            yield from _with_slopes(simulation, calls, TANH, "tanh", cause("tanh"))
            yield from _of_other_arrays(simulation, calls)
        elif _is_softplus(simulation, calls[0]):
            words = cause("local derivative", of=" of softplus: it is σ")
            yield from _with_slopes(simulation, calls, SOFTPLUS, "softplus", words)
        elif call.name in OTHERS:
            words = cause("local derivative", of=f" of {call.name}")
            yield from _with_slopes(simulation, calls, OTHERS[call.name], call.name, words)
    found = sigmoids(simulation)
    for spans in found:
        for text, slope in SIGMOID.items():
            changes: Changes = {}
            for first, last, j in spans:
                z, s = simulation.calls[first].operands[j], simulation.calls[last].output
                changes |= between(first, last, j, partial(np.multiply, slope(z, s)))
            yield Suspect(changes, f"with {text} for the derivative of σ", cause("sigmoid"))
    for spans in found:
        yield from _of_other_sigmoids(simulation, spans, found)


def _is_softplus(simulation: Simulation, index: int) -> bool:
    maker = simulation.maker(index, 0) if simulation.calls[index].name == "log1p" else None
    return maker is not None and simulation.calls[maker].name == "exp"


def _with_slopes(
    simulation: Simulation, calls: list[int], slopes: dict[str, Slope], name: str, words: str
) -> Iterator[Suspect]:
    for text, slope in slopes.items():
        changes = {}
        for index in calls:
            call = simulation.calls[index]
            with np.errstate(all="ignore"):
                changes[index] = with_slope(0, slope(np.asarray(call.operands[0]), np.asarray(call.output)))
        yield Suspect(changes, f"with {text} for the derivative of {name}", words)


def _of_other_arrays(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    """tanh's derivative is taken of another array, that of the step before or after among them."""
    own = [simulation.calls[index].output for index in calls]
    for shift in (1, -1) if len(calls) > 1 else ():
        others = [own[min(max(k + shift, 0), len(own) - 1)] for k in range(len(own))]
        changes = {index: with_slope(0, 1 - u**2) for index, u in zip(calls, others, strict=True)}
        yield Suspect(changes, "with tanh's derivative of another step", cause("tanh"))
    for text, values in arrays(simulation, len(calls), np.shape(own[0])):
        changes = {index: with_slope(0, 1 - u**2) for index, u in zip(calls, values, strict=True)}
        yield Suspect(changes, f"with tanh's derivative taken of {text}", cause("tanh"))


def _of_other_sigmoids(simulation: Simulation, spans: list[Span], sigmoids: list[list[Span]]) -> Iterator[Suspect]:
    gates = {fingerprint(simulation.calls[last].output) for others in sigmoids for _, last, _ in others}
    for text, values in arrays(simulation, len(spans), np.shape(simulation.calls[spans[0][1]].output)):
        changes: Changes = {}
        for (first, last, j), u in zip(spans, values, strict=True):
            changes |= between(first, last, j, partial(np.multiply, u * (1 - u)))
        gate = fingerprint(values[0]) in gates and len(spans) > 1
        words = cause("sigmoid") + (", and another gate's activation is in it" if gate else "")
        yield Suspect(changes, f"with σ's derivative taken of {text}", words)


# --- Softmax --------------------------------------------------------------------------------------------------------


def softmaxes(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    for spans, axis, log, scale in softmax_spans(simulation):
        for text, slope in (LOG_SOFTMAX if log else SOFTMAX).items():
            changes: Changes = {}
            for first, last, j in spans:
                p = np.asarray(simulation.calls[last].output)
                p = np.exp(p) if log else p
                changes |= between(first, last, j, partial(_of_scores, slope, p, axis, scale))
            words = cause("softmax" if text in DIAGONAL else "softmax slope")
            words = words if not log else cause("local derivative", of=" of log-softmax")
            yield Suspect(changes, f"with {text} for the derivative of softmax", words)


SoftmaxSlope = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def _of_scores(slope: SoftmaxSlope, p: np.ndarray, axis: int, scale: float, moved: np.ndarray) -> np.ndarray:
    return slope(p, scale * moved, axis)


def _other_axis(p: np.ndarray, axis: int) -> int:
    return -2 if axis % p.ndim == p.ndim - 1 else -1


DIAGONAL = ("p (1 − p), the diagonal,", "p")
SOFTMAX: dict[str, SoftmaxSlope] = {
    "p (1 − p), the diagonal,": lambda p, d, axis: p * (1 - p) * d,
    "p": lambda p, d, axis: p * d,
    "1": lambda p, d, axis: d,
    "1 − p": lambda p, d, axis: (1 - p) * d,
    "p (dp − Σ dp)": lambda p, d, axis: p * d - (p * d).sum(axis, keepdims=True),
    "p dp − Σ p dp": lambda p, d, axis: p * d - p * d.sum(axis, keepdims=True),
    "dp − Σ p dp": lambda p, d, axis: d - p * d.sum(axis, keepdims=True),
    "p (dp + Σ p dp)": lambda p, d, axis: p * (d + (p * d).sum(axis, keepdims=True)),
    "p (dp − mean of p dp)": lambda p, d, axis: p * (d - (p * d).mean(axis, keepdims=True)),
    "a sum over another axis": lambda p, d, axis: p * (d - (p * d).sum(_other_axis(p, axis), keepdims=True)),
    "a sum over everything": lambda p, d, axis: p * (d - (p * d).sum()),
}
LOG_SOFTMAX: dict[str, SoftmaxSlope] = {
    "1": lambda p, d, axis: d,
    "1 − p, without the sum,": lambda p, d, axis: (1 - p) * d,
    "the softmax's own Jacobian": lambda p, d, axis: p * (d - (p * d).sum(axis, keepdims=True)),
    "a sum over another axis": lambda p, d, axis: d - (p * d).sum(_other_axis(p, axis), keepdims=True),
    "a mean": lambda p, d, axis: d - d.mean(axis, keepdims=True),
}
