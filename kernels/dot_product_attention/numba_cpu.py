"""Dot-product attention in float32: score, softmax and context of one picture while it is in cache, pictures in parallel.

The queries go through W in one product for the whole batch, before and after.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.additive_attention.numba_cpu import as_mask, attend, attend_backward
from scratchlv.kernels.additive_attention.row_sums import dots_of_rows
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.dot_product_attention.reference import Gradients, check
from scratchlv.kernels.matmul.numba_cpu import PackedMatrix, float32_only, for_backward, gemm
from scratchlv.memory import as_contiguous, empty, empty_like, zeros


class Cache(NamedTuple):
    x: np.ndarray  # (N, L, D)
    keys: np.ndarray  # (N, L, K)
    query: np.ndarray  # (N, Q)
    W: np.ndarray | None  # (Q, K)
    q: np.ndarray  # (N, K), query W
    alpha: np.ndarray  # (N, L)
    scale: float


def limits(
    x: Any, keys: Any, query: Any, W: Any = None, mask: Any = None, *, scale: float = 1.0, train: bool = True
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
    train: bool = True,
) -> tuple[tuple[np.ndarray, np.ndarray], Cache | None]:
    check(x, keys, query, W, mask)
    x, keys, query = (as_contiguous(a) for a in (x, keys, query))
    q = query if W is None else gemm(query, W)
    N, L, D = x.shape
    z, alpha = empty((N, D)), empty((N, L))
    _forward(x, keys, q, as_mask(mask, N), float(scale), z, alpha)
    return (z, alpha), Cache(
        x, keys, query, None if W is None else for_backward(W), q, alpha, float(scale)
    ) if train else None


def backward(dy: tuple[np.ndarray | None, np.ndarray | None], cache: Cache) -> Gradients:
    x, keys, query, W, q, alpha, scale = cache
    dz = zeros((x.shape[0], x.shape[2])) if dy[0] is None else as_contiguous(dy[0])
    dalpha = zeros(alpha.shape) if dy[1] is None else as_contiguous(dy[1])
    dx, dkeys, dq = empty_like(x), empty_like(keys), empty_like(q)
    _backward(dz, dalpha, x, keys, q, scale, alpha, dx, dkeys, dq)
    if W is None:
        return Gradients(dx, dkeys, dq, None)
    return Gradients(dx, dkeys, gemm(dq, W, transpose_b=True), gemm(query, dq, transpose_a=True))


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
