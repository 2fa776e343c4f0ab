"""Root mean square normalisation on a GPU: the launches of ``rms_norm.cu``."""

import math
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import as_contiguous, cannot_serve, empty, threads_for
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.rms_norm.reference import EPS, check_out

VERSIONS = {1: "a block for a picture"}


class Cache(NamedTuple):
    y: Array  # (N, ..., C)
    scale: Array  # (N,): 1 / rms


def limits(x: Any, *, eps: float = EPS, out: Any = None, train: bool = True) -> str | None:
    if out is not None and not out.flags.c_contiguous:
        return "out is not contiguous"
    return cannot_serve(x, out)


def forward(x: Array, *, eps: float = EPS, out: Array | None = None, train: bool = True) -> tuple[Array, Cache | None]:
    check_out(x, out)
    N, *places, C = x.shape
    wide, scale = empty(x.shape, x) if out is None else out, empty(N, x)
    sizes = np.int32(math.prod(places)), np.int32(C), np.int32(wide.shape[-1])
    kernel = load("rms_norm.cu")["rms_norm_forward"]
    kernel((N,), (threads_for(math.prod(x.shape[1:])),), as_contiguous(x), wide, scale, *sizes, np.float32(eps))
    y = wide[..., :C]
    return y, Cache(y, scale) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    y, scale = cache
    require("x", dy=(dy, y.shape))
    dx, n = empty(y.shape, y), math.prod(y.shape[1:])
    kernel = load("rms_norm.cu")["rms_norm_backward"]
    kernel((len(y),), (threads_for(n),), as_contiguous(dy), as_contiguous(y), scale, dx, np.int64(n))
    return (dx,)
