"""Additive attention in float32: score, softmax and context of one picture while it is in cache, pictures in parallel.

No (N, L, A) array of tanh is kept: the backward pass computes it again, which is cheaper than to read it.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.additive_attention.reference import Gradients, check
from scratchlv.kernels.additive_attention.row_sums import dots_of_rows
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, exp_nonpositive, tanh, total
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.memory import as_contiguous, empty, empty_like, zeros

ZERO, ONE = np.float32(0), np.float32(1)
_BLOCK = 16  # so many rows of tanh are kept in the first-level cache


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


def backward(dy: tuple[np.ndarray | None, np.ndarray | None], cache: Cache) -> Gradients:
    x, keys, query, v, alpha = cache
    dz = zeros((x.shape[0], x.shape[2])) if dy[0] is None else as_contiguous(dy[0])
    dalpha = zeros(alpha.shape) if dy[1] is None else as_contiguous(dy[1])
    dx, dkeys, dquery = empty_like(x), empty_like(keys), empty_like(query)
    dv_partial = empty_like(query)  # (N, A): a picture's part of dv, so that no two threads add to one number
    _backward(dz, dalpha, x, keys, query, v, alpha, dx, dkeys, dquery, dv_partial)
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
    """``out = Σ_l weights_l rows_l``, four rows in one sweep."""
    for d in range(out.size):
        out[d] = 0
    grouped = weights.size - weights.size % 4
    for l in range(0, grouped, 4):
        w0, w1, w2, w3 = weights[l], weights[l + 1], weights[l + 2], weights[l + 3]
        row0, row1, row2, row3 = rows[l], rows[l + 1], rows[l + 2], rows[l + 3]
        for d in range(out.size):
            out[d] += (w0 * row0[d] + w1 * row1[d]) + (w2 * row2[d] + w3 * row3[d])
    for l in range(grouped, weights.size):
        w, row = weights[l], rows[l]
        for d in range(out.size):
            out[d] += w * row[d]


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


@kernel(parallel=True, fastmath=FLAGS)
def _forward(x, keys, query, v, mask, z, alpha):
    N, L, A = keys.shape
    for n in prange(N):
        q = query[n]
        s, scores = np.empty((_BLOCK, A), np.float32), np.empty(L + 3)
        for first in range(0, L, _BLOCK):
            rows = min(_BLOCK, L - first)
            for i in range(rows):
                key, row = keys[n, first + i], s[i]
                for a in range(A):
                    row[a] = tanh(key[a] + q[a])
            dots_of_rows(s[:rows], v, scores[first:])
        attend(scores, mask[n], x[n], alpha[n], z[n])


@kernel(parallel=True, fastmath=FLAGS)
def _backward(dz, dalpha, x, keys, query, v, alpha, dx, dkeys, dquery, dv):
    N, L, A = keys.shape
    for n in prange(N):
        de, sums = np.empty(L, np.float32), np.empty(L + 3)
        dcontext = dz[n]
        attend_backward(dcontext, dalpha[n], x[n], alpha[n], sums, de)
        q, dq, dv_n = query[n], dquery[n], dv[n]
        for a in range(A):
            dq[a] = 0
            dv_n[a] = 0
        for l in range(L):
            w, dregion = alpha[n, l], dx[n, l]
            for d in range(dregion.size):
                dregion[d] = w * dcontext[d]
            g, key, dkey = de[l], keys[n, l], dkeys[n, l]
            for a in range(A):
                s = tanh(key[a] + q[a])
                dv_n[a] += g * s
                gradient = g * v[a] * (ONE - s * s)
                dkey[a] = gradient
                dq[a] += gradient
