"""Inputs of smaller shapes, cut out of those at hand: axes of equal length are taken for one dimension.

What fits is what forward serves: of x (N, D) and W (D, H) the length D is cut in both. A length that is a multiple of
another, as the 4H of an LSTM's gates, is cut with it, block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.trees import map_named

MOST_BLOCKS = 4


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
    """The inputs with every axis of this length cut, and the axes that are some blocks of it."""

    def smaller(_: str, leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        for axis, size in enumerate(leaf.shape):
            blocks = size // length
            if size == length:
                leaf = np.take(leaf, range(to), axis)
            elif size == blocks * length and 1 < blocks <= MOST_BLOCKS:
                leaf = np.take(leaf, [b * length + i for b in range(blocks) for i in range(to)], axis)
        return leaf.copy()

    return map_named(smaller, inputs)


def cut_alone(inputs: dict[str, Any], length: int, to: int) -> dict[str, Any]:
    """The same without blocks: another length may be a multiple by chance."""

    def smaller(_: str, leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        return leaf[tuple(slice(to) if size == length else slice(None) for size in leaf.shape)].copy()

    return map_named(smaller, inputs)


def cut_first(inputs: dict[str, Any], length: int, to: int) -> dict[str, Any]:
    """The same of first axes alone, as of a batch that has the length of another dimension."""

    def smaller(_: str, leaf: Any) -> Any:
        return leaf[:to].copy() if isinstance(leaf, np.ndarray) and leaf.ndim and len(leaf) == length else leaf

    return map_named(smaller, inputs)


def _key(inputs: dict[str, Any]) -> tuple:
    """Equal for inputs that hold the same."""
    found = []
    map_named(lambda name, leaf: found.append((name, np.shape(leaf), np.asarray(leaf).tobytes())), inputs)
    return tuple(found)


WAYS = (cut, cut_alone, cut_first)


def shorter(
    inputs: dict[str, Any], serves: Callable[[dict[str, Any]], bool], length: int, to: int
) -> dict[str, Any] | None:
    """The inputs with one length cut, in the first way that forward serves."""
    return next((each for way in WAYS if serves(each := way(inputs, length, to))), None)


def smaller(inputs: dict[str, Any], serves: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """Inputs with one length cut by one, for each length for which forward serves that."""
    for length in lengths(inputs):
        found = shorter(inputs, serves, length, length - 1)
        if found is not None:
            yield found


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
