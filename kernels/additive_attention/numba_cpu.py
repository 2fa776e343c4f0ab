"""Additive attention in float32: score, softmax and context of one picture while it is in cache, pictures in parallel.

No (N, L, A) array of tanh is kept: the backward pass computes it again, which is cheaper than to read it.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.additive_attention.reference import Gradients, check
from scratchlv.kernels.additive_attention.row_sums import (
    add_rows,
    dots_of_rows,
    tanh_gradients_of_rows,
    tanh_scores_of_rows,
)
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, exp_nonpositive, total
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import address, fence, scale, wants_nontemporal
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.memory import as_contiguous, empty, empty_like, zeros

ZERO = np.float32(0)


class Cache(NamedTuple):
    x: np.ndarray  # (N, L, D)
    keys: np.ndarray  # (N, L, A)
    query: np.ndarray  # (N, A)
    v: np.ndarray  # (A,)
    alpha: np.ndarray  # (N, L)


def limits(x: Any, keys: Any, query: Any, v: Any, mask: Any = None, *, train: bool = True) -> str | None:
    return float32_only(x, keys, query, v)


def forward(
    x: np.ndarray,
    keys: np.ndarray,
    query: np.ndarray,
    v: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    train: bool = True,
) -> tuple[tuple[np.ndarray, np.ndarray], Cache | None]:
    check(x, keys, query, v, mask)
    x, keys, query, v = (as_contiguous(a) for a in (x, keys, query, v))
    N, L, D = x.shape
    z, alpha = empty((N, D)), empty((N, L))
    _forward(x, keys, query, v, as_mask(mask, N), z, alpha)
    return (z, alpha), Cache(x, keys, query, v, alpha) if train else None


def backward(
    dy: tuple[np.ndarray | None, np.ndarray | None], cache: Cache, *, dx: np.ndarray | None = None
) -> Gradients:
    x, keys, query, v, alpha = cache
    require("x", dx=(dx, x.shape))
    dz = zeros((x.shape[0], x.shape[2])) if dy[0] is None else as_contiguous(dy[0])
    dalpha = zeros(alpha.shape) if dy[1] is None else as_contiguous(dy[1])
    more = dx is not None
    dx, dkeys, dquery = as_contiguous(dx) if more else empty_like(x), empty_like(keys), empty_like(query)
    dv_partial = empty_like(query)  # (N, A): a picture's part of dv, so that no two threads add to one number
    how = more, wants_nontemporal(dx), wants_nontemporal(dkeys)
    _backward(dz, dalpha, x, keys, query, v, alpha, dx, dkeys, dquery, dv_partial, how)
    return Gradients(dx, dkeys, dquery, dv_partial.sum(0, dtype=np.float64).astype(np.float32))


def as_mask(mask: np.ndarray | None, N: int) -> np.ndarray:
    """The mask (N, L) for the kernels; (N, 0) where everything may be looked at."""
    return np.empty((N, 0), np.bool_) if mask is None else as_contiguous(np.asarray(mask, np.bool_))


@kernel(fastmath=FLAGS)
def attend(scores, mask, regions, weights, context):
    """Softmax and mean for one picture: ``weights`` (L,) and ``context`` (D,) from ``scores`` (L,) and ``regions`` (L, D).

    ``mask`` (L,) or (0,) says where; elsewhere the weight is 0, and everywhere if that is nowhere.
    """
    L = weights.size
    largest = -np.inf
    for l in range(L):
        if mask.size and not mask[l]:
            scores[l] = -np.inf
        e = scores[l]
        largest = e if e > largest or e != e else largest
    if largest == -np.inf:
        largest = 0.0
    for l in range(L):
        weights[l] = exp_nonpositive(np.float32(scores[l] - largest))
    weight = total(weights)  # at least the 1 of the largest; 0 where there is nothing to look at
    scale = np.float32(1 / weight) if weight != 0 else ZERO
    for l in range(L):
        weights[l] *= scale
    weighted_sum(weights, regions, context)


@kernel(fastmath=FLAGS)
def weighted_sum(weights, rows, out):
    """``out = Σ_l weights_l rows_l``."""
    for d in range(out.size):
        out[d] = 0
    add_rows(weights, rows, out)


@kernel(fastmath=FLAGS)
def attend_backward(dcontext, dweights, regions, weights, sums, dscores):
    """The way back of :func:`attend` to ``dscores`` (L,); ``sums`` (L + 3,) is for what lies between."""
    dots_of_rows(regions, dcontext, sums)
    mean = ZERO  # Σ α dα
    for l in range(weights.size):
        dweight = np.float32(dweights[l] + sums[l])
        dscores[l] = dweight
        mean += weights[l] * dweight
    for l in range(weights.size):
        dscores[l] = weights[l] * (dscores[l] - mean)


@kernel()
def outer(weights, row, out, nontemporal):
    """``out[l] = weights[l] row``, written around the caches if ``nontemporal``."""
    L, D = out.shape
    for l in range(L):
        scale(address(row), weights[l], address(out) + 4 * D * l, D, nontemporal)


@kernel(fastmath=FLAGS)
def add_outer(weights, row, out):
    """``out[l] += weights[l] row``."""
    for l in range(weights.size):
        weight, total = weights[l], out[l]
        for d in range(total.size):
            total[d] += weight * row[d]


@kernel(parallel=True, fastmath=FLAGS)
def _forward(x, keys, query, v, mask, z, alpha):
    N, L = alpha.shape
    for n in prange(N):
        scores = np.empty(L + 3)
        tanh_scores_of_rows(keys[n], query[n], v, scores)
        attend(scores, mask[n], x[n], alpha[n], z[n])


@kernel(parallel=True, fastmath=FLAGS)
def _backward(dz, dalpha, x, keys, query, v, alpha, dx, dkeys, dquery, dv, how):
    N, L = alpha.shape
    more, dx_around, dkeys_around = how  # whether dx is added to, and which gradients are written around the caches
    for n in prange(N):
        de, sums = np.empty(L, np.float32), np.empty(L + 3)
        attend_backward(dz[n], dalpha[n], x[n], alpha[n], sums, de)
        if more:
            add_outer(alpha[n], dz[n], dx[n])
        else:
            outer(alpha[n], dz[n], dx[n], dx_around)
        tanh_gradients_of_rows(de, keys[n], query[n], v, dkeys[n], dquery[n], dv[n], dkeys_around)
        fence()
