"""Dot-product attention in float32: score, softmax and context of one picture while it is in cache, pictures in parallel.

The queries go through W in one product for the whole batch, before and after.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.additive_attention.numba_cpu import look, look_back
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, dot
from scratchlv.kernels.dot_product_attention.reference import check
from scratchlv.kernels.matmul.numba_cpu import float32_only, gemm

Array = np.ndarray
_NOT_MASKED = np.empty((0, 0), np.bool_)


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, K)
    query: Array  # (N, Q)
    W: Array | None  # (Q, K)
    q: Array  # (N, K), query W
    alpha: Array  # (N, L)
    scale: float


def limits(x, keys, query, W=None, mask=None, *, scale=1.0, train=True) -> str | None:
    return float32_only(x, keys, query, W)


def forward(
    x: Array,
    keys: Array,
    query: Array,
    W: Array | None = None,
    mask: Array | None = None,
    *,
    scale: float = 1.0,
    train: bool = True,
) -> tuple[tuple[Array, Array], Cache | None]:
    check(x, keys, query, W, mask)
    x, keys, query = (np.ascontiguousarray(a) for a in (x, keys, query))
    q = query if W is None else gemm(query, W)
    z, alpha = np.empty((x.shape[0], x.shape[2]), np.float32), np.empty(x.shape[:2], np.float32)
    mask = _NOT_MASKED if mask is None else np.ascontiguousarray(mask, np.bool_)
    _forward(x, keys, q, mask, float(scale), z, alpha)
    return (z, alpha), Cache(x, keys, query, W, q, alpha, float(scale)) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> tuple[Array, Array, Array, Array | None]:
    x, keys, query, W, q, alpha, scale = cache
    dz, dalpha = (
        np.zeros(shape, np.float32) if d is None else np.ascontiguousarray(d)
        for d, shape in zip(dy, ((x.shape[0], x.shape[2]), alpha.shape), strict=True)
    )
    dx, dkeys, dq = np.empty_like(x), np.empty_like(keys), np.zeros_like(q)
    _backward(dz, dalpha, x, keys, q, scale, alpha, dx, dkeys, dq)
    if W is None:
        return dx, dkeys, dq, None
    return dx, dkeys, gemm(dq, W, transpose_b=True), gemm(query, dq, transpose_a=True)


@kernel(parallel=True, fastmath=FLAGS, error_model="numpy")
def _forward(x, keys, q, mask, scale, z, alpha):
    for n in prange(x.shape[0]):
        scores = np.empty(x.shape[1])
        for l in range(scores.size):
            scores[l] = scale * dot(keys[n, l], q[n])
            if mask.size and not mask[n, l]:
                scores[l] = -np.inf
        look(scores, x[n], alpha[n], z[n])


@kernel(parallel=True, fastmath=FLAGS, error_model="numpy")
def _backward(dz, dalpha, x, keys, q, scale, alpha, dx, dkeys, dq):
    N, L, K = keys.shape
    for n in prange(N):
        de = np.empty(L, np.float32)
        look_back(dz[n], dalpha[n], x[n], alpha[n], dx[n], de)
        q_n, dq_n = q[n], dq[n]
        for l in range(L):
            g = np.float32(scale * de[l])
            key, dkey = keys[n, l], dkeys[n, l]
            for k in range(K):
                dkey[k] = g * q_n[k]
                dq_n[k] += g * key[k]
