"""Dot-product attention in float32: score, softmax and context of one picture while it is in cache, pictures in parallel.

The queries go through W in one product for the whole batch, before and after. Where several look at the same keys, scores,
context and gradients are products of matrices: those of the queries with the keys, and of the attention with the regions.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.additive_attention.numba_cpu import as_mask, attend, attend_backward, scores_backward
from scratchlv.kernels.additive_attention.queries import (
    AT_ONCE,
    NOTHING,
    as_masks,
    attend_rows,
    gradient_or_zeros,
    keys_seen,
    product,
    sum_over_queries,
    work_of_threads,
)
from scratchlv.kernels.additive_attention.reference import each, outputs
from scratchlv.kernels.additive_attention.row_sums import dots_of_rows
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.simd import address
from scratchlv.kernels.building_blocks.threads import new_counter, next_item, worth_waking
from scratchlv.kernels.dot_product_attention.reference import Gradients, as_rows, check
from scratchlv.kernels.matmul.numba_cpu import PackedMatrix, float32_only, for_backward, gemm, multiply
from scratchlv.memory import as_contiguous, empty, empty_like


class Cache(NamedTuple):
    x: np.ndarray  # (N, L, D)
    keys: np.ndarray  # (N, L, K)
    query: np.ndarray  # (N, Q) or (N, T, Q)
    W: np.ndarray | None  # (Q, K)
    q: np.ndarray  # (N, K) or (N, T, K), query W
    alpha: np.ndarray  # (N, L) or (N, T, L)
    scale: float
    seen: np.ndarray | None = None  # (T,), how many keys each of several queries may look at


def limits(
    x: Any,
    keys: Any,
    query: Any,
    W: Any = None,
    mask: Any = None,
    *,
    scale: float = 1.0,
    causal: bool = False,
    offset: int = 0,
    scores: bool = False,
    train: bool = True,
) -> str | None:
    return float32_only(x, keys, query, W)


def forward(
    x: np.ndarray,
    keys: np.ndarray,
    query: np.ndarray,
    W: np.ndarray | PackedMatrix | None = None,
    mask: np.ndarray | None = None,
    *,
    scale: float = 1.0,
    causal: bool = False,
    offset: int = 0,
    scores: bool = False,
    train: bool = True,
) -> tuple[tuple[np.ndarray, ...], Cache | None]:
    check(x, keys, query, W, mask, causal, offset)
    x, keys, query = (as_contiguous(a) for a in (x, keys, query))
    q = query if W is None else _through(query, W)
    (N, L, D), scale, seen = x.shape, float(scale), None
    if query.ndim == 2 and not scores:
        y = z, alpha = empty((N, D)), empty((N, L))
        with worth_waking(x.size + keys.size):
            _forward(x, keys, q, as_mask(mask, N), scale, z, alpha)
    else:
        T, K = each(q).shape[1:]
        z, alpha, e = empty((N, T, D)), empty((N, T, L)), empty((N, T, L) if scores else (0, 0, 0))
        seen, work = keys_seen(causal, offset, T, L), work_of_threads((AT_ONCE, L, K), (AT_ONCE, D, L))
        made = e, alpha, z, work
        _forward_of_queries(multiply.address, x, keys, each(q), as_masks(mask, N), seen, scale, NOTHING, *made)
        y = outputs(query, z, alpha, e) if scores else (z, alpha)
    if not train:
        return y, None
    kept = None if W is None else for_backward(W)
    return y, Cache(x, keys, query, kept, q, y[1], scale, seen)


def backward(dy: tuple[np.ndarray | None, ...], cache: Cache) -> Gradients:
    x, keys, query, W, q, alpha, scale, seen = cache
    dx, dkeys, dq = empty_like(x), empty_like(keys), empty_like(q)
    if seen is None:
        dz = gradient_or_zeros(dy[0], (len(x), x.shape[2]))
        dalpha = gradient_or_zeros(dy[1], alpha.shape)
        with worth_waking(x.size + keys.size):
            _backward(dz, dalpha, x, keys, q, scale, alpha, dx, dkeys, dq)
    else:
        seen, dz, de, work = scores_backward(dy, x, each(alpha), seen, keys.shape[2])
        _query_gradients(multiply.address, keys, scale, seen, NOTHING, de, each(dq), work)
        sum_over_queries(multiply.address, de, each(q), seen, NOTHING, False, dkeys, work)
        sum_over_queries(multiply.address, each(alpha), dz, seen, NOTHING, False, dx, work)
    if W is None:
        return Gradients(dx, dkeys, dq, None)
    dW = gemm(as_rows(query), as_rows(dq), transpose_a=True)
    return Gradients(dx, dkeys, _through(dq, W, transpose_b=True), dW)


def _through(rows: np.ndarray, W: np.ndarray | PackedMatrix, transpose_b: bool = False) -> np.ndarray:
    """The rows (..., Q) times W, or its transpose."""
    y = gemm(as_rows(rows), W, transpose_b=transpose_b)
    return y.reshape(*rows.shape[:-1], y.shape[-1])


@kernel(parallel=True, fastmath=FLAGS)
def _forward(x, keys, q, mask, scale, z, alpha):
    N, L = alpha.shape
    for n in prange(N):
        scores = np.empty(L + 3)
        dots_of_rows(keys[n], q[n], scores)
        for l in range(L):
            scores[l] *= scale
        attend(scores, mask[n], x[n], alpha[n], z[n])


@kernel(parallel=True, fastmath=FLAGS)
def _backward(dz, dalpha, x, keys, q, scale, alpha, dx, dkeys, dq):
    N, L, K = keys.shape
    for n in prange(N):
        de, sums = np.empty(L, np.float32), np.empty(L + 3)
        dcontext = dz[n]
        attend_backward(dcontext, dalpha[n], x[n], alpha[n], sums, de)
        q_n, dq_n = q[n], dq[n]
        for k in range(K):
            dq_n[k] = 0
        for l in range(L):
            w, dregion = alpha[n, l], dx[n, l]
            for d in range(dregion.size):
                dregion[d] = w * dcontext[d]
            g, key, dkey = np.float32(scale * de[l]), keys[n, l], dkeys[n, l]
            for k in range(K):
                dkey[k] = g * q_n[k]
                dq_n[k] += g * key[k]


# --- several queries -------------------------------------------------------------------------------------------------


@kernel(parallel=True, fastmath=FLAGS)
def _forward_of_queries(multiply, x, keys, q, mask, seen, scale, nothing, e, alpha, z, work):
    N, T, L = alpha.shape
    K = keys.shape[2]
    blocks = -(-T // AT_ONCE)
    counter = new_counter()
    for thread in prange(len(work)):
        item = next_item(counter)
        while item < N * blocks:
            n, first = item // blocks, item % blocks * AT_ONCE
            last = min(T, first + AT_ONCE)
            wanted = L if e.size else seen[last - 1]
            of_q, of_keys = (address(q[n, first]), K, 1), (address(keys[n]), 1, K)  # the transpose of the keys
            to, before = (address(alpha[n, first]), L), (address(nothing), 0, 0)
            product(multiply, of_q, of_keys, to, before, last - first, wanted, K, work[thread])
            for t in range(first, last):
                row = alpha[n, t]
                for l in range(wanted):
                    row[l] *= scale
                if e.size:
                    e[n, t] = row
            attend_rows(multiply, n, first, last, x, mask, seen, nothing, alpha, z, work[thread])
            item = next_item(counter)


@kernel(parallel=True, fastmath=FLAGS)
def _query_gradients(multiply, keys, scale, seen, nothing, de, dq, work):
    """``dq`` (N, T, K); ``de`` (N, T, L), the gradients of the scores, become those of keys · q: they are scaled."""
    N, T, L = de.shape
    K = keys.shape[2]
    blocks = -(-T // AT_ONCE)
    counter = new_counter()
    for thread in prange(len(work)):
        item = next_item(counter)
        while item < N * blocks:
            n, first = item // blocks, item % blocks * AT_ONCE
            last = min(T, first + AT_ONCE)
            for t in range(first, last):
                row = de[n, t]
                for l in range(L):
                    row[l] *= scale
            of_de, of_keys = (address(de[n, first]), L, 1), (address(keys[n]), K, 1)
            to, before = (address(dq[n, first]), K), (address(nothing), 0, 0)
            product(multiply, of_de, of_keys, to, before, last - first, K, seen[last - 1], work[thread])
            item = next_item(counter)
