"""Rectified linear unit on a GPU: the launches of ``relu.cu``."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty
from scratchlv.cuda.versions import version
from scratchlv.kernels.building_blocks.shapes import require

VERSIONS = {1: "a number for each thread", 2: "four numbers for each thread"}


class Cache(NamedTuple):
    y: Array
    cap: float | None


def limits(x: Any, *, cap: float | None = None, train: bool = True) -> str | None:
    return cannot_serve(x)


def forward(x: Array, *, cap: float | None = None, train: bool = True) -> tuple[Array, Cache | None]:
    y = empty(x.shape, x)
    _sweep("relu_forward", as_contiguous(x), y, cap)
    return y, Cache(y, cap) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    require("x", dy=(dy, cache.y.shape))
    dx = empty(dy.shape, dy)
    _sweep("relu_backward", as_contiguous(dy), cache.y, dx, cache.cap)
    return (dx,)


def _sweep(name: str, *arrays_and_cap: Any) -> None:
    *arrays, cap = arrays_and_cap
    number, n = version(VERSIONS), arrays[0].size
    grid = blocks(min(-(-n // (4 if number == 2 else 1)), 1 << 24), 256)
    no_cap = np.float32(np.nan)
    load("relu.cu")[f"{name}_{number}"](grid, (256,), *arrays, no_cap if cap is None else np.float32(cap), np.int64(n))
