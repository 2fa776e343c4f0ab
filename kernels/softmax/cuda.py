"""Softmax on a GPU: the launches of ``softmax.cu``."""

import math
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import MOST_UNASKED, as_contiguous, cannot_serve, empty, place, threads_for
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.softmax.reference import check

VERSIONS = {1: "a block for a row"}


class Cache(NamedTuple):
    y: Array  # (..., V)


def limits(logits: Any, mask: Any = None, *, train: bool = True) -> str | None:
    return cannot_serve(logits)


def forward(logits: Array, mask: Array | None = None, *, train: bool = True) -> tuple[Array, Cache | None]:
    check(logits, mask)
    *shape, V = logits.shape
    y, kept = empty(logits.shape, logits), 4 * V <= MOST_UNASKED
    kernel = load("softmax.cu")["softmax_forward"]
    kernel(
        (math.prod(shape),),
        (threads_for(V),),
        as_contiguous(logits),
        None if mask is None else as_contiguous(place(mask, logits), np.bool_),
        y,
        np.int32(V),
        np.int32(kept),
        shared=4 * V * kept,
    )
    return y, Cache(y) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    y = cache.y
    require("logits", dy=(dy, y.shape))
    *shape, V = y.shape
    dlogits = empty(y.shape, y)
    kernel = load("softmax.cu")["softmax_backward"]
    kernel((math.prod(shape),), (threads_for(V),), as_contiguous(dy), y, dlogits, np.int32(V))
    return (dlogits,)
