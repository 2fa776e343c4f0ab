"""Logistic sigmoid on a GPU: the launches of ``sigmoid.cu``."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, blocks, cannot_serve, empty
from scratchlv.kernels.building_blocks.shapes import require

VERSIONS = {1: "four numbers for each thread"}


class Cache(NamedTuple):
    y: Array


def limits(x: Any, *, train: bool = True) -> str | None:
    return cannot_serve(x)


def forward(x: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    y = empty(x.shape, x)
    load("sigmoid.cu")["sigmoid_forward"](_grid(x.size), (256,), as_contiguous(x), y, np.int64(x.size))
    return y, Cache(y) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    require("x", dy=(dy, cache.y.shape))
    dx = empty(dy.shape, dy)
    load("sigmoid.cu")["sigmoid_backward"](_grid(dy.size), (256,), as_contiguous(dy), cache.y, dx, np.int64(dy.size))
    return (dx,)


def _grid(n: int) -> tuple[int]:
    return blocks(min(-(-n // 4), 1 << 24), 256)
