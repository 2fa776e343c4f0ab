"""Where in forward the gradient goes wrong, if no known bug does: the operation whose derivative must be the wrong one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.composites import sigmoids
from scratchlv.gradcheck.findings import CLOSE, Finding
from scratchlv.gradcheck.loops import Loops, arrays, where
from scratchlv.gradcheck.origins import Origins
from scratchlv.gradcheck.signatures import targets
from scratchlv.gradcheck.simulation import FAILURES, STEP, Simulation, fingerprint
from scratchlv.gradcheck.tracing import Call, Change, is_float
from scratchlv.gradcheck.trees import dot

MOST_NUMBERS = 80
MOST_ORIGINS = 12
ELEMENTWISE = (
    "tanh",
    "exp",
    "log",
    "sqrt",
    "square",
    "power",
    "maximum",
    "where",
    "absolute",
    "expit",
    "log1p",
    "reciprocal",
)
DROPPED = {"add", "subtract", "negative", "copy", "positive"}


@dataclass(frozen=True)
class Origin:
    """Operand ``j`` of some calls, the rounds of one place; its gradients, and the wrong ones, for each output gradient."""

    calls: list[int]
    j: int
    true: np.ndarray  # (output gradients, numbers), in the last round
    wrong: np.ndarray


def target_missing(simulation: Simulation, origins: Origins) -> Finding | None:
    """Of a loss with labels: whether the error is one number in each row, as of a one-hot target."""
    labels = [x for x in simulation.evidence.inputs.values() if isinstance(x, np.ndarray) and x.dtype.kind in "iu"]
    y = simulation.tracer.y
    if isinstance(y, tuple | list | dict) or np.ndim(y) or not labels:
        return None
    for origin in itertools.islice(_origins(simulation, origins), MOST_ORIGINS):
        call = simulation.calls[origin.calls[-1]]
        error = (origin.wrong - origin.true)[0]
        rows = error.reshape(-1, np.shape(call.operands[origin.j])[-1] if np.ndim(call.operands[origin.j]) else 1)
        odd = np.abs(rows) > 1e-5 * np.abs(error).max()
        if rows.shape[1] < 3 or not (odd.sum(1) <= 1).all() or odd.sum() < 2 and len(origin.calls) < 2:
            continue
        if np.ptp(rows[odd]) <= 1e-4 * np.abs(rows[odd]).max():
            what = f"is off by one number in each row, the same everywhere, before {where(call)}"
            return Finding(tuple(simulation.wrong), what, cause("target"))
    return None


def localised(simulation: Simulation, loops: Loops, origins: Origins) -> Finding | None:
    """The operation that is nearest to the output of those where the error can come from."""
    found = list(itertools.islice(_origins(simulation, origins), MOST_ORIGINS))
    names = tuple(simulation.wrong)
    for origin in found:
        call = simulation.calls[origin.calls[-1]]
        target = _target(simulation, call, origin)
        if target is not None:
            return Finding(names, f"is off by a multiple of {target} before {where(call)}", cause("target"))
    for origin in found:
        call = simulation.calls[origin.calls[-1]]
        known = _known_factor(simulation, call, origin)
        if known is not None:
            function = _function(simulation, origin)
            slopes = {"u (1 − u)": cause("sigmoid"), "1 − u²": cause("tanh")}
            words = slopes.get(known, cause("local derivative", of=f": a factor {known} too many or too few"))
            return Finding(names, f"is wrong by {known} before {where(call)}", function[1] if function else words)
    function = _function(simulation, found[0]) if found and _is_elementwise(found[0]) else None
    if function is not None:
        text, words = function
        return Finding(names, f"is right up to {text}, and from there on wrong by a factor for each number", words)
    return None


def _origins(simulation: Simulation, origins: Origins) -> Iterator[Origin]:
    places = sorted(simulation.rounds.values(), key=lambda calls: -calls[-1])
    for calls in places:
        for j, x in enumerate(simulation.calls[calls[0]].operands):
            if is_float(x) and origins.fit([(index, j) for index in calls]):
                found = _measured(simulation, origins, calls, j)
                if found is not None:
                    yield found


def _measured(simulation: Simulation, origins: Origins, calls: list[int], j: int) -> Origin | None:
    """The gradient of an operand, and the one that explains the errors."""
    last = calls[-1]
    size = np.size(simulation.calls[last].operands[j])
    solution = origins.solution([(index, j) for index in calls])
    if size > MOST_NUMBERS or solution is None:
        return None
    true = np.zeros((len(simulation.dys), size))
    try:
        for k in range(size):
            ahead, behind = (simulation.tracer.output({}, {last: _nudged(j, k, sign * STEP)}) for sign in (1, -1))
            true[:, k] = [(dot(dy, ahead) - dot(dy, behind)) / (2 * STEP) for dy in simulation.dys]
    except FAILURES:
        return None
    return Origin(calls, j, true, true + solution[-size:].T)


def _nudged(j: int, k: int, by: float) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        nudged = np.array(operands[j], float)
        nudged.reshape(-1)[k] += by
        return call.again([nudged if i == j else x for i, x in enumerate(operands)])

    return change


def _is_elementwise(origin: Origin) -> bool:
    """Whether the wrong gradient is the right one times numbers that do not depend on the output gradient."""
    if len(origin.true) < 2:
        return False
    scale = np.abs(origin.true).max()
    first, second = origin.true[0], origin.true[1]
    sure = (np.abs(first) > 1e-3 * scale) & (np.abs(second) > 1e-3 * scale)
    if sure.sum() < 2:
        return False
    ratios = origin.wrong[:2, sure] / origin.true[:2, sure]
    if np.allclose(ratios, 1, atol=10 * CLOSE):
        return False
    return bool(np.allclose(ratios[0], ratios[1], rtol=10 * CLOSE, atol=10 * CLOSE))


def _function(simulation: Simulation, origin: Origin) -> tuple[str, str] | None:
    """The function of single numbers that makes the operand, or takes it."""
    maker = simulation.maker(origin.calls[-1], origin.j)
    near = [k for k in (maker, origin.calls[-1]) if k is not None]
    for spans in sigmoids(simulation):
        first, last, _ = spans[-1]
        if any(first <= k <= last for k in near):
            return f"the σ that ends in {where(simulation.calls[last])}", cause("sigmoid") + _rival(simulation, last)
    for k in near:
        found = simulation.calls[k]
        if found.name == "tanh":
            return where(found), cause("tanh") + _rival(simulation, k)
        if found.name in ELEMENTWISE:
            return where(found), cause("local derivative", of=f" of {found.name}") + _rival(simulation, k)
    return None


def _rival(simulation: Simulation, index: int) -> str:
    """What fits as well if a product takes the result: that this has the wrong factor."""
    result = fingerprint(simulation.calls[index].output)
    for call in simulation.calls[index + 1 :]:
        if call.name in ("multiply", "divide") and any(fingerprint(x) == result for x in call.operands):
            return f", or with {cause('wrong array')}, in {where(call)}"
    return ""


def _known_factor(simulation: Simulation, call: Call, origin: Origin) -> str | None:
    """What the wrong gradient is the right one times, or divided by."""
    shape = np.shape(call.operands[origin.j])
    true, wrong = origin.true[0].reshape(shape), origin.wrong[0].reshape(shape)
    for _, values in arrays(simulation, len(origin.calls), shape):
        u = values[-1]
        if np.size(u) < 3 or np.ptp(u) < CLOSE:
            continue
        for text, factor in (
            ("u", u),
            ("1 − u", 1 - u),
            ("1 + u", 1 + u),
            ("u (1 − u)", u * (1 - u)),
            ("1 − u²", 1 - u**2),
        ):
            for p, q in ((true * factor, wrong), (true, wrong * factor)):
                if np.any(p) and np.abs(p - q).max() <= CLOSE * np.abs(p).max():
                    return text
    return None


def _target(simulation: Simulation, call: Call, origin: Origin) -> str | None:
    """The input, or its one-hot rows, that the error is a multiple of."""
    shape = np.shape(call.operands[origin.j])
    error = (origin.wrong - origin.true)[0].reshape(shape)
    candidates = list(targets(simulation.evidence.inputs, shape[-1] if shape else 0))
    candidates += [(name, np.asarray(x)) for name, x in simulation.evidence.inputs.items() if is_label(name, x)]
    for name, candidate in candidates:
        if np.shape(candidate) != shape or not np.any(candidate) or np.size(candidate) < 3:
            continue
        c = float((error * candidate).sum() / (candidate * candidate).sum())
        if c and np.abs(error - c * candidate).max() <= CLOSE * np.abs(error).max():
            return name
    return None


def is_label(name: str, value: object) -> bool:
    """Whether an input is like a target: not moved by the check, or called so."""
    called = name.lower() in ("t", "y", "target", "targets", "labels")
    called = name.lower() in ("t", "y", "target", "targets", "labels")
    return isinstance(value, np.ndarray) and (value.dtype.kind in "iub" or called)
