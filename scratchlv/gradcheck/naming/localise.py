"""Where in forward the gradient goes wrong, if no known bug does: the operation whose derivative must be the wrong one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.naming.composites import sigmoids
from scratchlv.gradcheck.naming.findings import CLOSE, Finding
from scratchlv.gradcheck.naming.loops import MATRIX_PRODUCTS, Loops, arrays
from scratchlv.gradcheck.naming.origins import SPARE, Origins
from scratchlv.gradcheck.naming.signatures import targets
from scratchlv.gradcheck.naming.simulation import FAILURES, STEP, Simulation, fingerprint
from scratchlv.gradcheck.naming.tracing import Call, Change, is_float
from scratchlv.gradcheck.naming.wording import operand, where
from scratchlv.gradcheck.trees import dot

MOST_NUMBERS = 80
PRODUCTS = MATRIX_PRODUCTS | {"multiply", "divide"}
MOST_ORIGINS = 12
FROM_THERE = "from there on wrong by a factor for each number"
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
    exponential = any("exp" in call.name or "softmax" in call.name for call in simulation.calls)
    for origin in itertools.islice(_origins(simulation, origins), MOST_ORIGINS):
        call = simulation.calls[origin.calls[-1]]
        error = (origin.wrong - origin.true)[0]
        lengths = [length for length in np.shape(call.operands[origin.j]) if length > 1]  # a column is a row, too
        rows = error.reshape(-1, lengths[-1] if lengths else 1)
        odd = np.abs(rows) > 1e-5 * np.abs(error).max()
        if rows.shape[1] < 3 or not (odd.sum(1) <= 1).all() or odd.sum() < 2 and len(origin.calls) < 2:
            continue
        if not exponential and not odd.any(1).all():
            continue  # as where the margins of a hinge loss are not counted
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
            text, u, name, many = known
            words = cause("factor twice" if many else "missing factor", which=f": {text}, where u is {name}")
            function = {"u (1 − u)": "sigmoid", "1 − u²": "tanh"}.get(text, "")
            if function and _comes_out_of(simulation, function, u):
                words = (
                    f"{words}, the derivative of {'σ' if function == 'sigmoid' else function}"
                    if many
                    else cause(function)
                )
            through = operand(call, origin.j)
            return Finding(names, f"is wrong by {text}, where u is {name}, in what comes through {through}", words)
    return _of_functions(simulation, origins)


def _of_functions(simulation: Simulation, origins: Origins) -> Finding | None:
    """The function of single numbers whose slope is wrong; of several, one after another, it may be any."""
    found: dict[str, str] = {}
    for index in reversed(range(len(simulation.calls))):
        if simulation.late:
            break
        function = _function(simulation, index)
        if function is not None and function[0] not in found and _is_elementwise(simulation, origins, index):
            found[function[0]] = function[1]
    if not found:
        return None
    names, what = tuple(simulation.wrong), f"and {FROM_THERE}"
    (text, words), *others = found.items()
    if others:
        words = cause("local derivative", of=f": of one of {', '.join(found)}")
    return Finding(names, f"is right up to {text}, {what}", words)


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
    true = _gradients(simulation, last, j)
    return None if true is None else Origin(calls, j, true, true + solution[-size:].T)


def _gradients(simulation: Simulation, index: int, j: int) -> np.ndarray | None:
    """Of an operand, (output gradients, numbers): slopes of the loss, as it is moved."""
    size = np.size(simulation.calls[index].operands[j])
    true = np.zeros((len(simulation.dys), size))
    if size > MOST_NUMBERS:
        return None
    try:
        for k in range(size):
            ahead, behind = (simulation.tracer.output({}, {index: _nudged(j, k, sign * STEP)}) for sign in (1, -1))
            true[:, k] = [(dot(dy, ahead) - dot(dy, behind)) / (2 * STEP) for dy in simulation.dys]
    except FAILURES:
        return None
    return true


def _nudged(j: int, k: int, by: float) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        nudged = np.array(operands[j], float)
        nudged.reshape(-1)[k] += by
        return call.again([nudged if i == j else x for i, x in enumerate(operands)])

    return change


def _is_elementwise(simulation: Simulation, origins: Origins, index: int) -> bool:
    """Whether the gradient of what goes into a call is wrong by factors that do not depend on the output gradient."""
    call = simulation.calls[index]
    if len(simulation.rounds[call.name, call.place]) > 1 or len(simulation.dys) < 2 or not is_float(call.operands[0]):
        return False
    J, true = origins.jacobian_of(index, 0), _gradients(simulation, index, 0)
    if J is None or true is None:
        return False
    A = np.concatenate([J * d for d in true])  # (output gradients · directions, numbers)
    b = origins.errors.T.reshape(-1)
    moved = np.abs(A).max(0) > 0
    factors, _, rank, _ = np.linalg.lstsq(A[:, moved], b, rcond=1e-7)
    rest = np.abs(A[:, moved] @ factors - b).max()
    return bool(rank < len(b) - SPARE and rest <= CLOSE * np.abs(b).max())


def _function(simulation: Simulation, index: int) -> tuple[str, str] | None:
    """The function of single numbers that starts at a call."""
    call = simulation.calls[index]
    for spans in sigmoids(simulation):
        for first, last, _ in spans:
            if first <= index <= last:
                text = f"the σ that ends in {where(simulation.calls[last])}"
                return text, cause("sigmoid") + _rival(simulation, last)
    if call.name == "tanh":
        return where(call), cause("tanh") + _rival(simulation, index)
    if call.name in ELEMENTWISE:
        return where(call), cause("local derivative", of=f" of {call.name}") + _rival(simulation, index)
    return None


def _rival(simulation: Simulation, index: int) -> str:
    """What fits as well if a product takes the result: that this has the wrong factor."""
    result = fingerprint(simulation.calls[index].output)
    for call in simulation.calls[index + 1 :]:
        if call.name in PRODUCTS and any(fingerprint(x) == result for x in call.operands):
            return f", or with {cause('wrong array')}, in {where(call)}"
    return ""


def _comes_out_of(simulation: Simulation, function: str, u: np.ndarray) -> bool:
    """Whether an array is what a tanh or a σ of forward makes."""
    if function == "tanh":
        results = [call.output for call in simulation.calls if call.name == "tanh"]
    else:
        results = [simulation.calls[last].output for spans in sigmoids(simulation) for _, last, _ in spans]
    return any(np.shape(result) == np.shape(u) and np.allclose(result, u) for result in results)


def _known_factor(simulation: Simulation, call: Call, origin: Origin) -> tuple[str, np.ndarray, str, bool] | None:
    """What the wrong gradient is the right one times, or divided by; the array that this is a function of, what it is called,
    and whether it is a factor too many."""
    shape = np.shape(call.operands[origin.j])
    true, wrong = origin.true[0].reshape(shape), origin.wrong[0].reshape(shape)
    for name, values in arrays(simulation, len(origin.calls), shape):
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
                    return text, u, name, q is wrong
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
