"""Suspects of single functions: wrong local derivatives, masks and indices that backward treats in another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.simulation import Simulation, is_float, scaled
from scratchlv.gradcheck.suspects import Changes, Suspect, where
from scratchlv.gradcheck.tracing import Call, Change

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
    "h² − 1": lambda z, h: h**2 - 1,
    "h": lambda z, h: h,
    "√(1 − h²)": lambda z, h: np.sqrt(1 - h**2),
    "1 − h³": lambda z, h: 1 - h**3,
    "2 (1 − h²)": lambda z, h: 2 * (1 - h**2),
}
SIGMOID: dict[str, Slope] = {
    "1": lambda z, s: np.ones_like(s),
    "s": lambda z, s: s,
    "1 − s": lambda z, s: 1 - s,
    "1 − s²": lambda z, s: 1 - s**2,
    "s (1 + s)": lambda z, s: s * (1 + s),
    "s (s − 1)": lambda z, s: s * (s - 1),
    "s²": lambda z, s: s**2,
    "(1 − s)²": lambda z, s: (1 - s) ** 2,
    "s (1 − s²)": lambda z, s: s * (1 - s**2),
    "s² (1 − s)": lambda z, s: s**2 * (1 - s),
    "s (1 − s)²": lambda z, s: s * (1 - s) ** 2,
    "z (1 − z)": lambda z, s: z * (1 - z),
    "σ(s) (1 − σ(s))": lambda z, s: 1 / (1 + np.exp(-s)) * (1 - 1 / (1 + np.exp(-s))),
    "1 − 2 s": lambda z, s: 1 - 2 * s,
    "2 s (1 − s)": lambda z, s: 2 * s * (1 - s),
    "s − s": lambda z, s: 0 * s,
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


def with_slope(slope: Any) -> Change:
    """A function of one operand has this local derivative instead of its own."""

    def change(call: Call, operands: list[Any], output: Any) -> Any:
        j = next(j for j, x in enumerate(call.operands) if is_float(x) and np.shape(x) == np.shape(call.output))
        return call.output + slope * (operands[j] - call.operands[j])

    return change


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


def elementwise(simulation: Simulation) -> Iterator[Suspect]:
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        if call.name == "tanh":
            yield from _with_slopes(simulation, calls, TANH, "tanh", cause("tanh"))
            yield from _of_other_arrays(simulation, calls, "tanh", lambda u: 1 - u**2, cause("tanh"))
        elif call.name in OTHERS:
            words = cause("local derivative", of=f" of {call.name}")
            yield from _with_slopes(simulation, calls, OTHERS[call.name], call.name, words)
    for spans in sigmoids(simulation):
        for text, slope in SIGMOID.items():
            changes: Changes = {}
            for first, last, j in spans:
                z, s = simulation.calls[first].operands[j], simulation.calls[last].output
                changes |= between(first, last, j, lambda moved, g=slope(z, s): g * moved)
            yield Suspect(changes, f"with {text} for the derivative of σ", cause("sigmoid"))
        yield from _of_other_sigmoids(simulation, spans)


def _with_slopes(
    simulation: Simulation, calls: list[int], slopes: dict[str, Slope], name: str, words: str
) -> Iterator[Suspect]:
    for text, slope in slopes.items():
        changes = {}
        for index in calls:
            call = simulation.calls[index]
            with np.errstate(all="ignore"):
                changes[index] = with_slope(slope(np.asarray(call.operands[0]), np.asarray(call.output)))
        yield Suspect(changes, f"with {text} for the derivative of {name}", words)


def _same_shape(simulation: Simulation, count: int, shape: tuple[int, ...], most: int = 24) -> Iterator[list[int]]:
    found = 0
    for indices in list(simulation.rounds.values()):
        if len(indices) == count and np.shape(simulation.calls[indices[0]].output) == shape:
            found += 1
            if found > most:
                return
            yield indices


def _of_other_arrays(
    simulation: Simulation, calls: list[int], name: str, slope: Callable[[Any], Any], words: str
) -> Iterator[Suspect]:
    """The derivative is taken of another array, that of the step before or after among them."""
    own = [simulation.calls[index].output for index in calls]
    for shift in (1, -1):
        if len(calls) > 1:
            others = [own[min(max(k + shift, 0), len(own) - 1)] for k in range(len(own))]
            changes = {index: with_slope(slope(u)) for index, u in zip(calls, others, strict=True)}
            yield Suspect(changes, f"with the derivative of {name} of another step", words)
    for indices in _same_shape(simulation, len(calls), np.shape(own[0])):
        changes = {index: with_slope(slope(simulation.calls[i].output)) for index, i in zip(calls, indices, strict=True)}
        yield Suspect(changes, f"with the derivative of {name} of another array", words)


def _of_other_sigmoids(simulation: Simulation, spans: list[tuple[int, int, int]]) -> Iterator[Suspect]:
    shape = np.shape(simulation.calls[spans[0][1]].output)
    for indices in _same_shape(simulation, len(spans), shape):
        changes: Changes = {}
        for (first, last, j), i in zip(spans, indices, strict=True):
            u = simulation.calls[i].output
            changes |= between(first, last, j, lambda moved, g=u * (1 - u): g * moved)
        yield Suspect(changes, "with the derivative of σ of another array", cause("sigmoid"))


def sigmoids(simulation: Simulation) -> Iterator[list[tuple[int, int, int]]]:
    """(first call, last call, operand) of each σ, as the rounds of one place: from −z, exp(z) or tanh(z/2) to 1/(1 + e⁻ᶻ)."""
    yield from _composites(simulation, lambda z: 1 / (1 + np.exp(-z)), ("negative", "exp", "multiply", "divide", "expit"))


def _composites(
    simulation: Simulation, function: Callable[[Any], Any], starts: tuple[str, ...], within: int = 12
) -> Iterator[list[tuple[int, int, int]]]:
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
                if np.shape(result) == np.shape(wanted) and np.allclose(result, wanted, rtol=1e-9, atol=1e-12):
                    spans = [(index, index + length, j) for index in calls]
                    if all(last < len(simulation.calls) for _, last, _ in spans):
                        yield spans
                    break


# --- Softmax --------------------------------------------------------------------------------------------------------


def softmaxes(simulation: Simulation) -> Iterator[Suspect]:
    for spans, axis, log in _softmaxes(simulation):
        for text, slope in (LOG_SOFTMAX if log else SOFTMAX).items():
            changes: Changes = {}
            for first, last, j in spans:
                p = np.asarray(simulation.calls[last].output)
                p = np.exp(p) if log else p
                changes |= between(first, last, j, lambda moved, p=p, f=slope: f(p, moved, axis))
            words = cause("softmax") if not log else cause("local derivative", of=" of log-softmax")
            yield Suspect(changes, f"with {text} for the derivative of softmax", words)


SoftmaxSlope = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def _other_axis(p: np.ndarray, axis: int) -> int:
    return -2 if axis % p.ndim == p.ndim - 1 else -1


SOFTMAX: dict[str, SoftmaxSlope] = {
    "p (1 − p), the diagonal,": lambda p, d, axis: p * (1 - p) * d,
    "p": lambda p, d, axis: p * d,
    "1": lambda p, d, axis: d,
    "1 − p": lambda p, d, axis: (1 - p) * d,
    "p (dp − Σ dp)": lambda p, d, axis: p * d - (p * d).sum(axis, keepdims=True),
    "p dp − Σ p dp": lambda p, d, axis: p * d - p * d.sum(axis, keepdims=True),
    "dp − Σ p dp": lambda p, d, axis: d - p * d.sum(axis, keepdims=True),
    "p (dp + Σ p dp)": lambda p, d, axis: p * (d + (p * d).sum(axis, keepdims=True)),
    "p (Σ p dp − dp)": lambda p, d, axis: p * ((p * d).sum(axis, keepdims=True) - d),
    "p (dp − mean of p dp)": lambda p, d, axis: p * (d - (p * d).mean(axis, keepdims=True)),
    "a sum over another axis": lambda p, d, axis: p * (d - (p * d).sum(_other_axis(p, axis), keepdims=True)),
    "a sum over everything": lambda p, d, axis: p * (d - (p * d).sum()),
    "dp − p": lambda p, d, axis: d * 0,
}
LOG_SOFTMAX: dict[str, SoftmaxSlope] = {
    "1": lambda p, d, axis: d,
    "1 − p, without the sum,": lambda p, d, axis: (1 - p) * d,
    "the softmax's own Jacobian": lambda p, d, axis: p * (d - (p * d).sum(axis, keepdims=True)),
    "a sum over another axis": lambda p, d, axis: d - (p * d).sum(_other_axis(p, axis), keepdims=True),
    "a mean": lambda p, d, axis: d - d.mean(axis, keepdims=True),
}


def _softmaxes(simulation: Simulation) -> Iterator[tuple[list[tuple[int, int, int]], int, bool]]:
    """The spans from the scores to the probabilities, the axis, and whether it is their logarithm."""
    for calls in list(simulation.rounds.values()):
        if simulation.calls[calls[0]].name != "exp" or np.ndim(simulation.calls[calls[0]].output) < 1:
            continue
        for back in range(4):
            start = calls[0] - back
            if start < 0:
                break
            call = simulation.calls[start]
            if back and (call.name != "subtract" or np.shape(call.output) != np.shape(simulation.calls[calls[0]].output)):
                continue
            z = np.asarray(call.operands[0], float)
            if z.shape != np.shape(call.output):
                continue
            found = _end_of_softmax(simulation, calls[0], z)
            if found is not None:
                ahead, axis, log = found
                yield [(index - back, index + ahead, 0) for index in calls], axis, log
                if log:
                    break


def _end_of_softmax(simulation: Simulation, start: int, z: np.ndarray) -> tuple[int, int, bool] | None:
    for axis in range(-1, -z.ndim - 1, -1):
        with np.errstate(all="ignore"):
            e = np.exp(z - z.max(axis, keepdims=True))
            p = e / e.sum(axis, keepdims=True)
        for ahead in range(1, 10):
            if start + ahead >= len(simulation.calls):
                break
            result = np.asarray(simulation.calls[start + ahead].output)
            if result.shape == p.shape and np.allclose(result, p, rtol=1e-9, atol=1e-12):
                return ahead, axis, False
            with np.errstate(all="ignore"):
                if result.shape == p.shape and np.allclose(np.exp(result), p, rtol=1e-9, atol=1e-12):
                    return ahead, axis, True
    return None


# --- Masks, maxima and places ---------------------------------------------------------------------------------------


def masks_and_places(simulation: Simulation) -> Iterator[Suspect]:
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        if call.name == "maximum":
            yield from _relu(simulation, calls)
        elif call.name == "where" and len(call.operands) == 3:
            yield from _where(simulation, calls)
        elif call.name == "multiply":
            yield from _mask(simulation, calls)
        elif call.name == "max":
            yield from _maximum(simulation, calls)
        elif call.name in ("getitem", "take"):
            yield from _rows(simulation, calls)


def _relu(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    shape = np.shape(simulation.calls[calls[0]].output)
    j = next((j for j, x in enumerate(simulation.calls[calls[0]].operands) if np.shape(x) == shape), None)
    if j is None:
        return
    words = cause("local derivative", of=" of ReLU: its mask is missing")
    yield Suspect({index: with_slope(1.0) for index in calls}, "without the mask of ReLU", words)
    for sign, text in ((1, "where it is positive"), (-1, "where it is negative")):
        for indices in _same_shape(simulation, len(calls), shape):
            changes = {
                index: with_slope((sign * np.asarray(simulation.calls[i].output) > 0).astype(float))
                for index, i in zip(calls, indices, strict=True)
            }
            what = f"with the mask of {where(simulation.calls[indices[0]])}, {text}, for ReLU's"
            yield Suspect(changes, what, cause("relu"))
    for name, value in simulation.evidence.inputs.items():
        if is_float(value) and np.shape(value) == shape and len(calls) == 1:
            yield Suspect({calls[0]: with_slope((value > 0).astype(float))}, f"with {name} > 0 for ReLU's mask", cause("relu"))
    if len(calls) == 1 and np.shape(simulation.dy) == shape:
        yield Suspect({calls[0]: with_slope((np.asarray(simulation.dy) > 0).astype(float))}, "with dy > 0 for ReLU's mask", cause("relu"))


def _where(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    """Backward lets everything through, or what it should not."""

    def all_through(j: int) -> Change:
        return lambda call, operands, output: call.output + (operands[j] - call.operands[j])

    def swapped(call: Call, operands: list[Any], output: Any) -> Any:
        return call.again([~np.asarray(operands[0], bool), *operands[1:]]) - call.again(
            [~np.asarray(operands[0], bool), *call.operands[1:]]
        ) + call.output

    call = simulation.calls[calls[0]]
    relu = np.size(call.operands[0]) > 1 and _depends_on_sign(simulation, calls)
    words = cause("local derivative", of=" of ReLU: its mask is missing") if relu else cause("mask")
    for j in (1, 2):
        if is_float(call.operands[j]) and np.shape(call.operands[j]) == np.shape(call.output):
            yield Suspect({index: all_through(j) for index in calls}, f"without the mask in {where(call)}", words)
    yield Suspect({index: swapped for index in calls}, f"with the mask in {where(call)} the other way round", cause("mask inverted"))


def _depends_on_sign(simulation: Simulation, calls: list[int]) -> bool:
    call = simulation.calls[calls[0]]
    mask = np.asarray(call.operands[0])
    return any(is_float(x) and np.shape(x) == mask.shape and np.array_equal(mask, np.asarray(x) > 0) for x in call.operands[1:])


def _mask(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    """A product with an array of zeros and one other number."""
    call = simulation.calls[calls[0]]
    if len(call.operands) != 2:
        return
    for j in (0, 1):
        mask = np.asarray(call.operands[1 - j])
        if mask.dtype.kind not in "bfiu" or mask.size < 2:
            continue
        held = np.unique(mask.astype(float))
        if len(held) != 2 or held[0] != 0:
            continue
        kept = float(held[1])
        own = is_float(call.operands[j]) and np.array_equal(mask.astype(bool), np.asarray(call.operands[j]) > 0)
        dropout = kept != 1 or _is_dropout(simulation)
        words = cause("dropout mask") if dropout else cause("mask")
        words = cause("local derivative", of=" of ReLU: its mask is missing") if own else words
        for factor, text, words_ in (
            (1.0, "without the mask", words),
            (kept, "with the mask's scale, but not the mask,", words),
            ((mask > 0).astype(float), "without the mask's scale", cause("dropout scale")),
            (mask.astype(float) ** 2, "with the mask's scale twice", cause("dropout scale")),
            ((mask == 0).astype(float) * kept, "with the mask the other way round", cause("mask inverted")),
        ):
            if kept == 1 and words_ == cause("dropout scale"):
                continue
            changes = {index: _times(j, factor) for index in calls}
            yield Suspect(changes, f"{text} in {where(call)}", words_)


def _times(j: int, factor: Any) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        still = call.again([call.operands[j] if i == j else x for i, x in enumerate(operands)])
        return still + (operands[j] - call.operands[j]) * factor

    return change


def _is_dropout(simulation: Simulation) -> bool:
    names = " ".join(simulation.evidence.inputs).lower()
    return "drop" in names or "keep" in names or any(name == "p" for name in simulation.evidence.inputs)


def _maximum(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    """The gradient of a maximum goes to the smallest, to all, to the first or the last."""

    def to(place: Callable[[np.ndarray], np.ndarray]) -> Change:
        def change(call: Call, operands: list[Any], output: Any) -> Any:
            x = np.asarray(call.operands[0])
            moved = operands[0] - x
            return call.output + np.where(place(x) == np.max(place(x)), moved, 0).sum().reshape(np.shape(call.output))

        return change

    call = simulation.calls[calls[0]]
    if np.size(call.output) != 1 or np.size(call.operands[0]) < 2:
        return
    for place in (lambda x: -x, np.abs):
        yield Suspect({index: to(place) for index in calls}, f"with another place in {where(call)}", cause("argmax"))
    everywhere: Change = lambda call, operands, output: call.output + (operands[0] - call.operands[0]).sum()
    yield Suspect({index: everywhere for index in calls}, f"with every place in {where(call)}", cause("argmax"))
    spread: Change = lambda call, operands, output: call.output + (operands[0] - call.operands[0]).mean()
    yield Suspect({index: spread for index in calls}, f"with a mean in {where(call)}", cause("argmax"))


def _rows(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    """Of rows that are looked up more than once, the last one overwrites the others."""
    call = simulation.calls[calls[0]]
    index = np.asarray(call.operands[1]) if not isinstance(call.operands[1], tuple) else None
    if index is None or index.dtype.kind not in "iu" or len(np.unique(index)) == index.size:
        return

    def last_only(call: Call, operands: list[Any], output: Any) -> Any:
        index = np.asarray(call.operands[1]).reshape(-1)
        last = {int(row): k for k, row in enumerate(index)}
        keep = np.array([last[int(row)] == k for k, row in enumerate(index)]).reshape(np.shape(call.operands[1]))
        moved = output - call.output
        return call.output + moved * keep.reshape(*keep.shape, *(1,) * (moved.ndim - keep.ndim))

    what = "without all but the last of the repeated rows"
    yield Suspect({i: last_only for i in calls}, what, cause("repeated rows"))


# --- Sums -----------------------------------------------------------------------------------------------------------


def sums(simulation: Simulation) -> Iterator[Suspect]:
    """A weight's gradient is not summed over the batch, or over the wrong axis; a sum over another axis."""
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        for j, source in enumerate(call.sources):
            if is_float(source) and simulation.owner(source) is not None:
                yield from _one_row(calls, call, j)
                yield from _other_broadcast(calls, call, j)


def _one_row(calls: list[int], call: Call, j: int) -> Iterator[Suspect]:
    output = np.asarray(call.output)
    if output.ndim < 2 or call.name not in ("add", "matmul", "dot", "multiply", "subtract", "tensordot", "einsum"):
        return
    if call.name in ("add", "multiply", "subtract") and np.ndim(call.operands[j]) >= output.ndim and np.shape(call.operands[j]) == output.shape:
        return
    for axis in range(output.ndim - 1):
        if output.shape[axis] < 2:
            continue
        for row in (0, -1):
            changes = {index: _only_row(j, axis, row) for index in calls}
            text = f"with the {'first' if row == 0 else 'last'} row only of what is summed, in {where(call)}"
            yield Suspect(changes, text, cause("batch sum"))


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

        yield Suspect({index: change for index in calls}, f"summed over another axis in {where(call)}", cause("wrong axis"))


def gates(simulation: Simulation) -> Iterator[Suspect]:
    """The blocks of what the gates are computed from, permuted on the way back."""
    if not any(simulation.calls[calls[0]].name in ("tanh", "exp") for calls in simulation.rounds.values()):
        return
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        width = np.shape(call.output)[-1] if np.ndim(call.output) else 0
        if call.name not in ("add", "matmul", "dot"):
            continue
        for blocks, letters in ((4, "ifgo"), (3, "rzn")):
            if width % blocks or not width:
                continue
            for p in range(blocks):
                for q in range(p):
                    order = list(range(blocks))
                    order[p], order[q] = q, p
                    changes = {index: _permuted(order) for index in calls}
                    yield Suspect(changes, f"with the gates {letters[q]} and {letters[p]} exchanged", cause("gates"))


def _permuted(order: list[int]) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        blocks = np.split(output - call.output, len(order), -1)
        return call.output + np.concatenate([blocks[k] for k in order], -1)

    return change


ALL = (sums, masks_and_places, elementwise, softmaxes, gates)
__all__ = ["ALL", "scaled"]
