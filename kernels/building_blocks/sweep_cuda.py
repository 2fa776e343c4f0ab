"""Sweeps over memory on a GPU, the launches of ``sweep.cu``: the counterpart of :mod:`.sweep`.

What they find stays on the GPU: a norm and the factor that clips it are arrays of one number, which nobody waits for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import MOST_UNASKED, as_contiguous, blocks, empty, threads_for

MOST_PARTS = 1024  # blocks that share a sum


def sum_squares(flat: Array) -> Array:
    """Σ x² of an array of any shape: an array without axes. The order of the additions depends on the size alone."""
    flat = as_contiguous(flat)
    count = min(MOST_PARTS, max(1, -(-flat.size // 4096)))
    parts, total = empty(count, flat), empty((), flat)
    load("sweep.cu")["square_parts"]((count,), (256,), flat, parts, np.int64(flat.size))
    load("sweep.cu")["sum_parts"]((1,), (256,), parts, total, np.int32(count))
    return total


def clip_factor(norm: Array, most: float) -> Array:
    """What to scale a gradient of this norm by so that it is at most ``most``; NaN, if the norm is not finite."""
    factor = empty((), norm)
    load("sweep.cu")["clip"]((1,), (1,), norm, factor, np.float32(most))
    return factor


def tanh_in_place(x: Array) -> Array:
    """``x`` itself, contiguous, which becomes its tanh."""
    load("sweep.cu")["tanh_in_place"](_in_fours(x.size), (256,), x, np.int64(x.size))
    return x


def tanh_backward(y: Array, dy: Sequence[Array]) -> Array:
    """The gradient through ``y = tanh x`` of a y that was used in several places: ``(1 - y²) Σ dy``, in the place of ``dy[0]``.

    All are contiguous.
    """
    dx, *others = dy
    while len(others) > 3:
        add(dx, others.pop())
    others += [None] * (3 - len(others))
    load("sweep.cu")["tanh_backward"](_in_fours(y.size), (256,), y, dx, *others, np.int64(y.size))
    return dx


def add(total: Array, d: Array) -> Array:
    """``total`` itself, contiguous, to which ``d``, of its shape, is added."""
    if total.shape != d.shape:
        raise ValueError(f"an array of the shape {d.shape} is added to one of {total.shape}")
    load("sweep.cu")["add"](_in_fours(total.size), (256,), total, as_contiguous(d), np.int64(total.size))
    return total


def log_softmax(logits: Array) -> Array:
    """``z - log Σ exp z`` over the last axis."""
    *shape, V = logits.shape
    y, kept = empty(logits.shape, logits), 4 * V <= MOST_UNASKED
    grid, block, shared = (math.prod(shape),), (threads_for(V),), 4 * V * kept
    load("sweep.cu")["log_softmax"](grid, block, as_contiguous(logits), y, np.int32(V), np.int32(kept), shared=shared)
    return y


def argmax_rows(x: Array) -> Array:
    """Where the largest number of each row of ``x`` (N, V) stands: int64 (N,). The first of equals; NaN is the largest."""
    N, V = x.shape
    if V == 0:
        raise ValueError("a row without numbers has no largest one")
    found = empty(N, x, np.int64)
    load("sweep.cu")["argmax_rows"]((N,), (threads_for(V),), as_contiguous(x), found, np.int32(V))
    return found


def to_unit_size(source: Array, target: Array) -> None:
    """Each picture of ``source`` (N, h, w, C), with a mean square of 1, into ``target[..., :C]``: contiguous."""
    N, h, w, C = source.shape
    if target.shape[:3] != (N, h, w) or target.shape[3] < C:
        raise ValueError(f"pictures of the shape {source.shape} do not go into {target.shape}")
    sizes = np.int32(h * w), np.int32(C), np.int32(target.shape[3])
    load("sweep.cu")["to_unit_size"](
        (N,), (threads_for(h * w * C),), as_contiguous(source), target, *sizes, np.float32(1e-12)
    )


def split_scale(scale: float | Array) -> tuple[Array | None, float]:
    """A scale as (an array of one number on the GPU, 1), or as (None, a number)."""
    if isinstance(scale, int | float | np.generic):
        return None, float(scale)
    if scale.size != 1:
        raise ValueError(f"a scale is one number, and this array has {scale.size}")
    return as_contiguous(scale, np.float32), 1.0


def _in_fours(n: int) -> tuple[int]:
    return blocks(min(-(-n // 4), 1 << 24), 256)
