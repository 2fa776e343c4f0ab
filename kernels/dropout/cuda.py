"""Dropout on a GPU: one sweep that draws the mask as it goes, the launches of ``dropout.cu``."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty
from scratchlv.cuda.versions import version
from scratchlv.kernels.dropout.reference import check_probability, fold, threshold

VERSIONS = {1: "a number for each thread", 2: "four numbers for each thread"}


class Cache(NamedTuple):
    key: int
    p: float


def limits(x: Any, *, p: float, seed: int | tuple[int, ...], train: bool = True) -> str | None:
    return cannot_serve(x)


def forward(x: Array, *, p: float, seed: int | tuple[int, ...], train: bool = True) -> tuple[Array, Cache | None]:
    """Zero each value of ``x`` with probability ``p``, multiply the others by 1 / (1 − p)."""
    check_probability(p)
    if not train:
        return x, None
    cache = Cache(fold(seed), p)
    return _drop(x, cache), cache


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx``, with the mask drawn again."""
    return (_drop(dy, cache),)


def _drop(x: Array, cache: Cache) -> Array:
    key, p = cache
    number, y = version(VERSIONS), empty(x.shape, x)
    grid = blocks(min(-(-x.size // (4 if number == 2 else 1)), 1 << 24), 256)
    settings = np.uint64(key), np.uint64(threshold(p)), np.float32(1 / (1 - p)), np.int64(x.size)
    load("dropout.cu")[f"dropout_{number}"](grid, (256,), as_contiguous(x), y, *settings)
    return y
