"""Dropout on a GPU: one sweep that draws the mask as it goes, the launches of ``dropout.cu``."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty
from scratchlv.cuda.versions import version
from scratchlv.kernels.dropout.reference import (
    GOLDEN,
    MASK64,
    Window,
    check_probability,
    check_window,
    fold,
    layout,
    threshold,
)

VERSIONS = {1: "a number for each thread", 2: "four numbers for each thread"}


class Cache(NamedTuple):
    key: int
    p: float
    window: Window | None


def limits(
    x: Any, *, p: float, seed: int | tuple[int, ...], window: tuple[int, int] | None = None, train: bool = True
) -> str | None:
    return cannot_serve(x)


def forward(
    x: Array, *, p: float, seed: int | tuple[int, ...], window: tuple[int, int] | None = None, train: bool = True
) -> tuple[Array, Cache | None]:
    """Zero each value of ``x`` with probability ``p``, multiply the others by 1 / (1 − p)."""
    check_probability(p)
    window = check_window(x.shape, window)
    if not train:
        return x, None
    cache = Cache(fold(seed), p, window)
    return _drop(x, cache), cache


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx``, with the mask drawn again."""
    return (_drop(dy, cache),)


def _drop(x: Array, cache: Cache) -> Array:
    key, p, window = cache
    number, y = version(VERSIONS), empty(x.shape, x)
    if window is not None:
        return _drop_rows(as_contiguous(x), y, cache)
    grid = blocks(min(-(-x.size // (4 if number == 2 else 1)), 1 << 24), 256)
    settings = np.uint64(key), np.uint64(threshold(p)), np.float32(1 / (1 - p)), np.int64(x.size)
    load("dropout.cu")[f"dropout_{number}"](grid, (256,), as_contiguous(x), y, *settings)
    return y


def _drop_rows(x: Array, y: Array, cache: Cache) -> Array:
    """Of a window, whose numbers do not all follow each other."""
    key, p, window = cache
    runs, run, stride, first = layout(x.shape, window)
    if x.size:
        settings = np.uint64((key + first * GOLDEN) & MASK64), np.uint64(threshold(p)), np.float32(1 / (1 - p))
        sizes = np.int64(x.size), np.int64(run), np.int64(stride - run)
        load("dropout.cu")["dropout_rows"](blocks(min(x.size, 1 << 24), 256), (256,), x, y, *settings, *sizes)
    return y
