"""Additive attention in float32: score, softmax and context of one picture while it is in cache, pictures in parallel.

No (N, L, A) array of tanh is kept: the backward pass computes it again, which is cheaper than to read it. Several queries
sweep over the keys of a picture one after the other, while these are in cache; the rest is in :mod:`queries`.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.additive_attention.queries import (
    AT_ONCE,
    NOTHING,
    as_masks,
    attend_rows,
    backward_to_scores,
    gradient_or_zeros,
    keys_seen,
    softmax_backward_of_row,
    softmax_of_row,
    sum_over_queries,
    work_of_threads,
)
from scratchlv.kernels.additive_attention.reference import Gradients, check, each, outputs
from scratchlv.kernels.additive_attention.row_sums import (
    add_rows,
    add_tanh_gradients_of_rows,
    dots_of_rows,
    exact_tanh_scores_of_rows,
    tanh_gradients_of_rows,
    tanh_scores_of_rows,
)
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import address, fence, scale, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import new_counter, next_item, worth_waking
from scratchlv.kernels.matmul.numba_cpu import float32_only, multiply
from scratchlv.memory import as_contiguous, empty, empty_like


class Cache(NamedTuple):
    x: np.ndarray  # (N, L, D)
    keys: np.ndarray  # (N, L, A)
    query: np.ndarray  # (N, A) or (N, T, A)
    v: np.ndarray  # (A,)
    alpha: np.ndarray  # (N, L) or (N, T, L)
    seen: np.ndarray | None = None  # (T,), how many keys each of several queries may look at


def limits(
    x: Any,
    keys: Any,
    query: Any,
    v: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    offset: int = 0,
    scores: bool = False,
    train: bool = True,
) -> str | None:
    return float32_only(x, keys, query, v)


def forward(
    x: np.ndarray,
    keys: np.ndarray,
    query: np.ndarray,
    v: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    causal: bool = False,
    offset: int = 0,
    scores: bool = False,
    train: bool = True,
) -> tuple[tuple[np.ndarray, ...], Cache | None]:
    check(x, keys, query, v, mask, causal, offset)
    x, keys, query, v = (as_contiguous(a) for a in (x, keys, query, v))
    N, L, D = x.shape
    if query.ndim == 2 and not scores:
        z, alpha = empty((N, D)), empty((N, L))
        with worth_waking(x.size + keys.size):
            _forward(x, keys, query, v, as_mask(mask, N), z, alpha)
        return (z, alpha), Cache(x, keys, query, v, alpha) if train else None
    queries = each(query)
    T = queries.shape[1]
    z, alpha, e = empty((N, T, D)), empty((N, T, L)), empty((N, T, L) if scores else (0, 0, 0))
    seen, work = keys_seen(causal, offset, T, L), work_of_threads((AT_ONCE, D, L))
    _forward_of_queries(multiply.address, x, keys, queries, v, as_masks(mask, N), seen, NOTHING, e, alpha, z, work)
    y = outputs(query, z, alpha, e) if scores else (z, alpha)
    return y, Cache(x, keys, query, v, y[1], seen) if train else None


def backward(dy: tuple[np.ndarray | None, ...], cache: Cache, *, dx: np.ndarray | None = None) -> Gradients:
    x, keys, query, v, alpha, seen = cache
    require("x", dx=(dx, x.shape))
    more = dx is not None
    dx, dkeys, dquery = as_contiguous(dx) if more else empty_like(x), empty_like(keys), empty_like(query)
    dv_partial = empty((len(x), len(v)))  # a picture's part of dv, so that no two threads add to one number
    if seen is None:
        dz = gradient_or_zeros(dy[0], (len(x), x.shape[2]))
        dalpha = gradient_or_zeros(dy[1], alpha.shape)
        how = more, wants_nontemporal(dx), wants_nontemporal(dkeys)
        with worth_waking(x.size + keys.size):
            _backward(dz, dalpha, x, keys, query, v, alpha, dx, dkeys, dquery, dv_partial, how)
    else:
        seen, dz, de, work = scores_backward(dy, x, each(alpha), seen)
        sum_over_queries(multiply.address, each(alpha), dz, seen, NOTHING, more, dx, work)
        _backward_of_queries(de, keys, each(query), v, seen, dkeys, each(dquery), dv_partial)
    return Gradients(dx, dkeys, dquery, dv_partial.sum(0, dtype=np.float64).astype(np.float32))


def scores_backward(
    dy: tuple[np.ndarray | None, ...], x: np.ndarray, alpha: np.ndarray, seen: np.ndarray, *widths: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of several queries: how many keys have a gradient, dz, de, and room for products as wide as x, or ``widths``."""
    (N, T, L), D = alpha.shape, x.shape[2]
    dz, dalpha, de_out = (*dy, None)[:3]
    dz, dalpha = gradient_or_zeros(dz, (N, T, D)), gradient_or_zeros(dalpha, (N, T, L))
    if de_out is not None:
        seen = np.full(T, L)  # the scores of keys that nobody may look at were handed out as well
    work = work_of_threads((AT_ONCE, L, D), *((AT_ONCE, width, max(T, L)) for width in (D, *widths)))
    de_out = np.empty((0, 0, 0), np.float32) if de_out is None else each(as_contiguous(de_out))
    de = empty(alpha.shape)
    backward_to_scores(multiply.address, dz, dalpha, de_out, x, alpha, seen, de, work)
    return seen, dz, de, work


def as_mask(mask: np.ndarray | None, N: int) -> np.ndarray:
    """The mask (N, L) for the kernels; (N, 0) where everything may be looked at."""
    return np.empty((N, 0), np.bool_) if mask is None else as_contiguous(np.asarray(mask, np.bool_))


@kernel(fastmath=FLAGS)
def attend(scores, mask, regions, weights, context):
    """Softmax and mean for one picture: ``weights`` (L,) and ``context`` (D,) from ``scores`` (L,) and ``regions`` (L, D).

    ``mask`` (L,) or (0,) says where; elsewhere the weight is 0, and everywhere if that is nowhere.
    """
    softmax_of_row(scores, mask, weights.size, weights)
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
    for l in range(weights.size):
        dscores[l] = dweights[l] + sums[l]
    softmax_backward_of_row(weights, dscores, weights.size)


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


# --- several queries -------------------------------------------------------------------------------------------------


@kernel(parallel=True, fastmath=FLAGS)
def _forward_of_queries(multiply, x, keys, query, v, mask, seen, nothing, e, alpha, z, work):
    N, T, L = alpha.shape
    blocks = -(-T // AT_ONCE)
    counter = new_counter()
    for thread in prange(len(work)):
        sums = np.empty(L + 3)
        item = next_item(counter)
        while item < N * blocks:
            n, first = item // blocks, item % blocks * AT_ONCE
            last = min(T, first + AT_ONCE)
            for t in range(first, last):
                row, wanted = alpha[n, t], L if e.size else seen[t]
                if e.size:
                    exact_tanh_scores_of_rows(keys[n], query[n, t], v, sums)
                    for l in range(L):
                        e[n, t, l] = sums[l]
                else:
                    tanh_scores_of_rows(keys[n, :wanted], query[n, t], v, sums)
                for l in range(wanted):
                    row[l] = sums[l]
            attend_rows(multiply, n, first, last, x, mask, seen, nothing, alpha, z, work[thread])
            item = next_item(counter)


@kernel(parallel=True, fastmath=FLAGS)
def _backward_of_queries(de, keys, query, v, seen, dkeys, dquery, dv):
    N, T, L = de.shape
    A = v.size
    for n in prange(N):
        dkeys_n, dv_t = dkeys[n], np.empty(A, np.float32)
        sums = np.zeros(A)  # of many terms: in float64 over the queries
        for l in range(L):
            dkey = dkeys_n[l]
            for a in range(A):
                dkey[a] = 0
        for t in range(T):
            some = seen[t]
            add_tanh_gradients_of_rows(
                de[n, t, :some], keys[n, :some], query[n, t], v, dkeys_n[:some], dquery[n, t], dv_t
            )
            for a in range(A):
                sums[a] += dv_t[a]
        for a in range(A):
            dv[n, a] = sums[a]
