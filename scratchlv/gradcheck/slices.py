"""Inputs of smaller shapes, cut out of those at hand: axes of equal length are taken for one dimension.

What fits is what forward serves: of x (N, D) and W (D, H) the length D is cut in both. A length that is a multiple of
another, as the 4H of an LSTM's gates, is cut with it, block by block.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from scratchlv.gradcheck.trees import map_named

MOST_BLOCKS = 4
MOST_PLACES = 8  # axes of one length that are told apart


def lengths(inputs: dict[str, Any]) -> list[int]:
    """The lengths of all axes, the most frequent first; those of one element can not be cut."""
    counts: dict[int, int] = {}

    def count(_: str, leaf: Any) -> Any:
        for length in np.shape(leaf) if isinstance(leaf, np.ndarray) else ():
            counts[length] = counts.get(length, 0) + 1
        return leaf

    map_named(count, inputs)
    return sorted((length for length in counts if length > 1), key=lambda length: (-counts[length], length))


def cut(inputs: dict[str, Any], length: int, to: int) -> dict[str, Any]:
    """The inputs with every axis of this length cut, or repeated, and the axes that are some blocks of it."""

    def changed(_: str, leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        for axis, size in enumerate(leaf.shape):
            blocks = size // length
            if size == length or (size == blocks * length and 1 < blocks <= MOST_BLOCKS):
                leaf = _taken(leaf, axis, blocks, to)
        return leaf.copy()

    return map_named(changed, inputs)


def cut_alone(inputs: dict[str, Any], length: int, to: int) -> dict[str, Any]:
    """The same without blocks: another length may be a multiple by chance."""
    return _cut_at(inputs, set(_places(inputs, length)), to)


def cut_first(inputs: dict[str, Any], length: int, to: int) -> dict[str, Any]:
    """The same of first axes alone, as of a batch that has the length of another dimension."""
    return _cut_at(inputs, {place for place in _places(inputs, length) if not place[1]}, to)


def _taken(leaf: np.ndarray, axis: int, blocks: int, to: int) -> np.ndarray:
    """The first ``to`` places of each block of an axis, from the beginning again if there are fewer."""
    length = leaf.shape[axis] // blocks
    return np.take(leaf, [b * length + i % length for b in range(blocks) for i in range(to)], axis)


def _key(inputs: dict[str, Any]) -> tuple:
    """Equal for inputs that hold the same."""
    found = []
    map_named(lambda name, leaf: found.append((name, np.shape(leaf), np.asarray(leaf).tobytes())), inputs)
    return tuple(found)


WAYS = (cut, cut_alone, cut_first)


def shorter(
    inputs: dict[str, Any],
    serves: Callable[[dict[str, Any]], bool],
    length: int,
    to: int,
    ways: Sequence[Callable[..., dict[str, Any]]] = WAYS,
) -> dict[str, Any] | None:
    """The inputs with one length cut, or repeated to a greater one, in the first way that forward serves."""
    return next((each for way in ways if serves(each := way(inputs, length, to))), None)


def smaller(inputs: dict[str, Any], serves: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """Inputs with one length cut by one, for each length for which forward serves that; what becomes one comes last."""
    for length in sorted(lengths(inputs), key=lambda length: length < 3):
        found = shorter(inputs, serves, length, length - 1)
        if found is not None:
            yield found


def apart(inputs: dict[str, Any], serves: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """Inputs with one of two dimensions cut that have the same length, for each length that two have.

    A dimension is the fewest axes that forward serves if they are cut together, and others stay.
    """
    for length in lengths(inputs):
        places = _places(inputs, length)
        if length < 3 or not 2 <= len(places) <= MOST_PLACES:  # one of two, cut to one, would be spread again
            continue
        groups = (group for n in range(1, len(places)) for group in itertools.combinations(places, n))
        found = next((each for group in groups if serves(each := _cut_at(inputs, set(group), length - 1))), None)
        if found is not None:
            yield found


def _places(inputs: dict[str, Any], length: int) -> list[tuple[str, int]]:
    """The axes of this length."""
    found: list[tuple[str, int]] = []

    def look(name: str, leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            found.extend((name, axis) for axis, size in enumerate(leaf.shape) if size == length)
        return leaf

    map_named(look, inputs)
    return found


def _cut_at(inputs: dict[str, Any], places: set[tuple[str, int]], to: int) -> dict[str, Any]:
    def smaller(name: str, leaf: Any) -> Any:
        for axis in range(np.ndim(leaf)) if isinstance(leaf, np.ndarray) else ():
            if (name, axis) in places:
                leaf = _taken(leaf, axis, 1, to)
        return leaf.copy() if isinstance(leaf, np.ndarray) else leaf

    return map_named(smaller, inputs)


def grown(inputs: dict[str, Any], serves: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """The inputs with every length greater for which forward serves that; None if there is none.

    None becomes another's, and none a square: the root of 4 would be taken for a 2.
    """
    before = inputs
    for length in sorted(lengths(inputs), reverse=True):
        taken = set(lengths(inputs))
        to = next(n for n in itertools.count(length + 1) if n not in taken and not math.sqrt(n).is_integer())
        inputs = shorter(inputs, serves, length, to, (cut_alone, cut, cut_first)) or inputs
    return None if inputs is before else inputs


def smallest(inputs: dict[str, Any], fails: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The smallest inputs that still fail: every length is cut to 1, to 2, or to a half, as long as it fails."""
    tried: set[tuple] = set()

    def fails_anew(smaller: dict[str, Any]) -> bool:
        if (key := _key(smaller)) in tried:  # ways to cut differ where there are blocks, or batches of another's length
            return False
        tried.add(key)
        return fails(smaller)

    shrinks = True
    while shrinks:
        shrinks = False
        for length in lengths(inputs):
            for to in dict.fromkeys((1, 2, length // 2, length - 1)):
                found = shorter(inputs, fails_anew, length, to) if 0 < to < length else None
                if found is not None:
                    inputs, shrinks = found, True
                    break
    return inputs
