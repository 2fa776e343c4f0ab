"""Suspects of places: masks, maxima, rows that are looked up, windows that overlap, blocks of gates."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.naming.loops import Loops, are_labels, arrays, constant_of
from scratchlv.gradcheck.naming.simulation import Simulation, moved
from scratchlv.gradcheck.naming.suspects import Suspect
from scratchlv.gradcheck.naming.tracing import Call, Change, is_float
from scratchlv.gradcheck.naming.wording import where

NO_RELU = "local derivative"


def places(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    for calls in list(simulation.rounds.values()):
        call = simulation.calls[calls[0]]
        if call.name == "maximum":
            yield from _relu(simulation, calls)
        elif call.name == "where" and len(call.operands) == 3:
            yield from _where(simulation, calls)
        elif call.name in ("multiply", "divide"):
            yield from _mask(simulation, calls)
        elif call.name == "max":
            yield from _maximum(simulation, calls)
        elif call.name in ("getitem", "take"):
            yield from _rows(calls, call)
        elif call.name in ("add", "matmul", "dot"):
            yield from _gates(simulation, loops, calls)
    yield from _windows(simulation)


def _no_mask() -> str:
    return cause(NO_RELU, of=" of ReLU: its mask is missing")


def with_slope(j: int, slope: Any) -> Change:
    """Operand j has this local derivative, elementwise; the others have none."""
    return lambda call, operands, output: call.output + slope * moved(operands[j], call.operands[j])


def _relu(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    call = simulation.calls[calls[0]]
    shape = np.shape(call.output)
    j = next((j for j, x in enumerate(call.operands) if is_float(x) and np.shape(x) == shape), None)
    if j is None:
        return
    yield Suspect({index: with_slope(j, 1.0) for index in calls}, "without the mask of ReLU", _no_mask())
    for text, slope in (("z", lambda z: z), ("max(z, 0)", lambda z: np.maximum(z, 0)), ("1 (z < 0)", lambda z: z < 0)):
        changes = {i: with_slope(j, slope(np.asarray(simulation.calls[i].operands[j])) * 1.0) for i in calls}
        words = cause("relu") if "<" in text else cause("local derivative", of=" of ReLU: it is 0 or 1")
        yield Suspect(changes, f"with {text} for ReLU's derivative", words)
    found = list(arrays(simulation, len(calls), shape))
    if len(calls) == 1:
        inputs = {**simulation.evidence.inputs, "dy": simulation.evidence.dy}
        found += [(name, [x]) for name, x in inputs.items() if is_float(x) and np.shape(x) == shape]
    for (text, values), (sign, relation) in itertools.product(found, ((1, "> 0"), (-1, "< 0"))):
        slopes = [(sign * np.asarray(value) > 0).astype(float) for value in values]
        changes = {index: with_slope(j, slope) for index, slope in zip(calls, slopes, strict=True)}
        yield Suspect(changes, f"with {text} {relation} for ReLU's mask", cause("relu"))


def _where(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    """Backward lets everything through, or what it should not."""

    def inverted(call: Call, operands: list[Any], output: Any) -> Any:
        mask = ~np.asarray(operands[0], bool)
        return call.again([mask, *operands[1:]]) - call.again([mask, *call.operands[1:]]) + call.output

    call = simulation.calls[calls[0]]
    mask = np.asarray(call.operands[0])
    relu = any(np.shape(x) == mask.shape and _by_sign(mask, np.asarray(x)) for x in call.operands[1:])
    for j in (1, 2):
        if is_float(call.operands[j]) and np.shape(call.operands[j]) == np.shape(call.output):
            text = f"without the mask in {where(call)}"
            yield Suspect({i: with_slope(j, 1.0) for i in calls}, text, _no_mask() if relu else cause("mask"))
    words = cause("relu") if relu else cause("mask inverted")
    yield Suspect(dict.fromkeys(calls, inverted), f"with the mask inverted in {where(call)}", words)


def _by_sign(mask: np.ndarray, x: np.ndarray) -> bool:
    return any(np.array_equal(mask, sign) for sign in (x > 0, x >= 0, x < 0, x <= 0))


def _mask(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    """A product with an array of zeros and one other number; also where a division by 1 − p follows."""
    call = simulation.calls[calls[0]]
    for j in (0, 1) if len(call.operands) == 2 else ():
        mask = np.asarray(call.operands[1 - j])
        if mask.dtype.kind not in "bfiu" or mask.size < 2 or not is_float(call.operands[j]):
            continue
        held = np.unique(mask.astype(float))
        if len(held) != 2 or held[0] != 0:
            continue
        own = np.array_equal(mask.astype(bool), np.asarray(call.operands[j]) > 0)
        kept, scale = float(held[1]), _scale_after(simulation, calls)
        dropout = (kept != 1 and not are_labels(simulation, mask)) or scale is not None or _is_dropout(simulation)
        without = _no_mask() if own else cause("dropout mask") if dropout else cause("mask")
        inverse = cause("relu") if own else cause("mask inverted")
        slopes = [
            (1.0, "without the mask", without),
            ((mask == 0) * kept, "with the mask inverted", inverse),
        ]
        if kept != 1 and dropout:
            slopes += [
                (kept, "with the mask's scale, but without the mask,", without),
                ((mask > 0) * 1.0, "without the mask's scale", cause("dropout scale")),
                (mask.astype(float) ** 2, "with the mask's scale twice", cause("dropout scale")),
            ]
        if scale is not None:
            slopes += [(1 / scale, "without the mask and the scale", cause("dropout mask"))]
        for slope, text, words in slopes:
            yield Suspect({i: _times(j, slope) for i in calls}, f"{text} in {where(call)}", words)


def _scale_after(simulation: Simulation, calls: list[int]) -> float | None:
    """The constant that the next operation multiplies by."""
    if calls[0] + 1 >= len(simulation.calls):
        return None
    following = simulation.calls[calls[0] + 1]
    constant = constant_of(following, 0)
    same = np.shape(following.output) == np.shape(simulation.calls[calls[0]].output)
    return constant if same else None


def _times(j: int, factor: Any) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        still = call.again([call.operands[j] if i == j else x for i, x in enumerate(operands)])
        return still + moved(operands[j], call.operands[j]) * factor

    return change


def _is_dropout(simulation: Simulation) -> bool:
    names = [name.lower() for name in simulation.evidence.inputs]
    return any("drop" in name or "keep" in name or name in ("p", "rate") for name in names)


def _maximum(simulation: Simulation, calls: list[int]) -> Iterator[Suspect]:
    """The gradient of a maximum goes to the smallest, to all, to the first or the last."""
    call = simulation.calls[calls[0]]
    x, result = np.asarray(call.operands[0]), np.asarray(call.output)
    axes = _reduced_axes(x, result)
    if axes is None:
        return

    def to(place: Callable[[np.ndarray], np.ndarray], ties: bool = False) -> Change:
        def change(call: Call, operands: list[Any], output: Any) -> Any:
            x = np.asarray(call.operands[0])
            keys = place(x)
            best = keys == keys.max(axes, keepdims=True)
            best = best if ties else _first_of(best, axes)
            return call.output + np.where(best, operands[0] - x, 0).sum(axes).reshape(np.shape(call.output))

        return change

    def last(x: np.ndarray) -> np.ndarray:
        return np.arange(x.size, dtype=float).reshape(x.shape)

    x = np.asarray(call.operands[0])
    if ((x == x.max(axes, keepdims=True)).sum(axes) > 1).any():
        yield Suspect({i: to(lambda x: x, ties=True) for i in calls}, f"with all ties in {where(call)}", cause("ties"))
    for place in (lambda x: -x, np.abs, last, lambda x: -last(x), np.zeros_like, _position_transposed(axes)):
        yield Suspect({i: to(place) for i in calls}, f"with other places in {where(call)}", cause("argmax"))
    count = x.size / max(result.size, 1)

    def spread(call: Call, operands: list[Any], output: Any) -> Any:
        return call.output + (operands[0] - call.operands[0]).sum(axes).reshape(np.shape(output)) / count

    def whole(call: Call, operands: list[Any], output: Any) -> Any:
        return call.output + (operands[0] - call.operands[0]).sum(axes).reshape(np.shape(output))

    yield Suspect(dict.fromkeys(calls, spread), f"with a mean in {where(call)}", cause("argmax"))
    yield Suspect(dict.fromkeys(calls, whole), f"with a sum in {where(call)}", cause("all places"))


def _first_of(best: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The first of several places, as argmax takes it."""
    last = range(-len(axes), 0)
    rows = np.moveaxis(best, axes, last)
    flat = rows.reshape(*rows.shape[: best.ndim - len(axes)], -1)
    first = (np.cumsum(flat, -1) == 1) & flat
    return np.moveaxis(first.reshape(rows.shape), last, axes)


def _position_transposed(axes: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """The row and the column of the maximum exchanged."""
    return lambda x: x.swapaxes(*axes[-2:]) if len(axes) > 1 and x.shape[axes[-1]] == x.shape[axes[-2]] else x


def _reduced_axes(x: np.ndarray, result: np.ndarray) -> tuple[int, ...] | None:
    """The axes that a maximum is taken over."""
    for count in range(1, x.ndim + 1):
        for axes in itertools.combinations(range(x.ndim), count):
            found = x.max(axes)
            if found.size == result.size and np.array_equal(found.ravel(), result.ravel()):
                return axes
    return None


def _rows(calls: list[int], call: Call) -> Iterator[Suspect]:
    """Rows that are looked up more than once overwrite each other; or the gradients go to other rows."""
    index = call.operands[1] if len(call.operands) > 1 else None
    if not isinstance(index, np.ndarray) or index.dtype.kind not in "iu" or not index.size:
        return
    rows = len(np.asarray(call.operands[0]))

    def last_only(call: Call, operands: list[Any], output: Any) -> Any:
        index = np.asarray(call.operands[1]).reshape(-1)
        last = {int(row): k for k, row in enumerate(index)}
        keep = np.array([last[int(row)] == k for k, row in enumerate(index)]).reshape(np.shape(call.operands[1]))
        moved = output - call.output
        return call.output + moved * keep.reshape(*keep.shape, *(1,) * (moved.ndim - keep.ndim))

    if len(np.unique(index)) < index.size:
        what = "without all but the last of the repeated rows"
        yield Suspect(dict.fromkeys(calls, last_only), what, cause("repeated rows"))
    others = [(index + 1) % rows, (index - 1) % rows, rows - 1 - index]
    others += [np.flip(index, axis) for axis in range(index.ndim)]
    others += [np.roll(index, by, axis) for axis in range(index.ndim) for by in (1, -1)]
    for other in others:
        yield Suspect(dict.fromkeys(calls, _with_rows(other)), f"with other rows in {where(call)}", cause("wrong rows"))


def _with_rows(index: np.ndarray) -> Change:
    return lambda call, operands, output: call.output + moved(operands[0], call.operands[0])[index]


# --- Windows and blocks ---------------------------------------------------------------------------------------------


def _windows(simulation: Simulation) -> Iterator[Suspect]:
    """Where windows of an array overlap, one of them overwrites the others."""
    for calls in simulation.rounds.values():
        for j in range(len(simulation.calls[calls[0]].sources)) if len(calls) > 1 else ():
            sources = [simulation.calls[index].sources[j] for index in calls]
            if not all(is_float(source) and isinstance(source, np.ndarray) and source.size for source in sources):
                continue
            cells = [_cells(source) for source in sources]
            if np.array_equal(cells[0], cells[1]):
                continue
            for order in (1, -1):
                owner: dict[int, int] = {}
                for k in list(range(len(cells)))[::order]:
                    owner |= dict.fromkeys(cells[k].ravel().tolist(), k)
                keeps = [_owned(cells[k], owner, k) for k in range(len(cells))]
                if all(keep.all() for keep in keeps):
                    break
                changes = {index: _partly(j, keep) for index, keep in zip(calls, keeps, strict=True)}
                text = f"where each window in {where(simulation.calls[calls[0]])} overwrites what is there"
                yield Suspect(changes, text, f"{cause('= for +=')} where windows overlap")


def _owned(cells: np.ndarray, owner: dict[int, int], k: int) -> np.ndarray:
    return np.array([owner[cell] == k for cell in cells.ravel().tolist()]).reshape(cells.shape)


def _cells(source: np.ndarray) -> np.ndarray:
    """The addresses of an array's numbers."""
    start = source.__array_interface__["data"][0]
    places = np.full(source.shape, start, np.int64)
    for axis, (length, stride) in enumerate(zip(source.shape, source.strides, strict=True)):
        places += (np.arange(length) * stride).reshape(-1, *(1,) * (source.ndim - axis - 1))
    return places


def _partly(j: int, keep: np.ndarray) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        then = call.operands[j]
        return call.again([then + keep * (x - then) if i == j else x for i, x in enumerate(operands)])

    return change


def _gates(simulation: Simulation, loops: Loops, calls: list[int]) -> Iterator[Suspect]:
    """The blocks of what the gates are computed from, exchanged on the way back."""
    names = {name for name, _ in simulation.rounds}
    call = simulation.calls[calls[0]]
    if len(calls) > 1 and not loops.in_time(calls):
        return
    width = np.shape(call.output)[-1] if np.ndim(call.output) else 0
    if "tanh" not in names:
        return
    for blocks, letters in ((4, "ifgo"), (3, "rzn")):
        for q, p in itertools.combinations(range(blocks if width % blocks == 0 else 0), 2):
            order = list(range(blocks))
            order[p], order[q] = q, p
            text = f"with the gates {letters[q]} and {letters[p]} exchanged"
            yield Suspect({index: _permuted(order) for index in calls}, text, cause("gates"))


def _permuted(order: list[int]) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        blocks = np.split(output - call.output, len(order), -1)
        return call.output + np.concatenate([blocks[k] for k in order], -1)

    return change
