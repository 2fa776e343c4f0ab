"""The logarithm of a softmax on a GPU: the launches of ``log_softmax.cu``."""

import math
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import MOST_UNASKED, as_contiguous, cannot_serve, empty, threads_for
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.softmax_cross_entropy.reference import check_classes

VERSIONS = {1: "a block for a row"}


class Cache(NamedTuple):
    y: Array  # (..., V)


def limits(logits: Any, *, train: bool = True) -> str | None:
    return cannot_serve(logits)


def forward(logits: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    check_classes(logits)
    *shape, V = logits.shape
    y, kept = empty(logits.shape, logits), 4 * V <= MOST_UNASKED
    kernel = load("log_softmax.cu")["log_softmax_forward"]
    kernel(
        (math.prod(shape),),
        (threads_for(V),),
        as_contiguous(logits),
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
    kernel = load("log_softmax.cu")["log_softmax_backward"]
    kernel((math.prod(shape),), (threads_for(V),), as_contiguous(dy), y, dlogits, np.int32(V))
    return (dlogits,)
