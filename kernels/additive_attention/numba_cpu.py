"""Additive attention in float32: score, softmax and context of one picture while it is in cache, pictures in parallel.

No (N, L, A) array of tanh is kept: the backward pass computes it again, which is cheaper than to read it.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.additive_attention.reference import check
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, dot, exp, tanh, total
from scratchlv.kernels.matmul.numba_cpu import float32_only

Array = np.ndarray
ZERO, ONE = np.float32(0), np.float32(1)
_NOT_MASKED = np.empty((0, 0), np.bool_)


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, A)
    query: Array  # (N, A)
    v: Array  # (A,)
    alpha: Array  # (N, L)


def limits(x, keys, query, v, mask=None, *, train=True) -> str | None:
    return float32_only(x, keys, query, v)


def forward(
    x: Array, keys: Array, query: Array, v: Array, mask: Array | None = None, *, train: bool = True
) -> tuple[tuple[Array, Array], Cache | None]:
    check(x, keys, query, v, mask)
    x, keys, query, v = (np.ascontiguousarray(a) for a in (x, keys, query, v))
    N, L, D = x.shape
    z, alpha = np.empty((N, D), np.float32), np.empty((N, L), np.float32)
    _forward(x, keys, query, v, _NOT_MASKED if mask is None else np.ascontiguousarray(mask, np.bool_), z, alpha)
    return (z, alpha), Cache(x, keys, query, v, alpha) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> tuple[Array, Array, Array, Array]:
    x, keys, query, v, alpha = cache
    dz, dalpha = (
        np.zeros(shape, np.float32) if d is None else np.ascontiguousarray(d)
        for d, shape in zip(dy, ((x.shape[0], x.shape[2]), alpha.shape), strict=True)
    )
    dx, dkeys, dquery = np.empty_like(x), np.empty_like(keys), np.zeros_like(query)
    dv = np.zeros_like(query)  # (N, A): each picture's share, so that no two threads add to one number
    _backward(dz, dalpha, x, keys, query, v, alpha, dx, dkeys, dquery, dv)
    return dx, dkeys, dquery, dv.sum(axis=0)


@kernel(fastmath=FLAGS, error_model="numpy")
def look(scores, regions, weights, context):
    """Softmax and mean for one picture: ``weights`` (L,), ``context`` (D,) from ``scores`` (L,) and ``regions`` (L, D)."""
    largest = -np.inf
    for e in scores:
        largest = e if e > largest or e != e else largest
    for l in range(scores.size):
        weights[l] = exp(np.float32(scores[l] - largest))
    scale = np.float32(1 / total(weights))
    context[:] = 0
    for l in range(scores.size):
        w = weights[l] * scale
        weights[l] = w
        region = regions[l]
        for d in range(context.size):
            context[d] += w * region[d]


@kernel(fastmath=FLAGS, error_model="numpy")
def look_back(dcontext, dweights, regions, weights, dregions, dscores):
    """The way back of :func:`look`: ``dregions`` (L, D) and ``dscores`` (L,)."""
    mean = ZERO  # Σ α dα
    for l in range(weights.size):
        dregion, w = dregions[l], weights[l]
        for d in range(dcontext.size):
            dregion[d] = w * dcontext[d]
        dweight = np.float32(dweights[l] + dot(regions[l], dcontext))
        dscores[l] = dweight
        mean += w * dweight
    for l in range(weights.size):
        dscores[l] = weights[l] * (dscores[l] - mean)


@kernel(parallel=True, fastmath=FLAGS, error_model="numpy")
def _forward(x, keys, query, v, mask, z, alpha):
    N, L, A = keys.shape
    for n in prange(N):
        q = query[n]
        s, scores = np.empty(A, np.float32), np.empty(L)
        for l in range(L):
            key = keys[n, l]
            for a in range(A):
                s[a] = tanh(key[a] + q[a])
            scores[l] = dot(s, v)
            if mask.size and not mask[n, l]:
                scores[l] = -np.inf
        look(scores, x[n], alpha[n], z[n])


@kernel(parallel=True, fastmath=FLAGS, error_model="numpy")
def _backward(dz, dalpha, x, keys, query, v, alpha, dx, dkeys, dquery, dv):
    N, L, A = keys.shape
    for n in prange(N):
        de = np.empty(L, np.float32)
        look_back(dz[n], dalpha[n], x[n], alpha[n], dx[n], de)
        q, dq, dv_n = query[n], dquery[n], dv[n]
        for l in range(L):
            g = de[l]
            key, dkey = keys[n, l], dkeys[n, l]
            for a in range(A):
                s = tanh(key[a] + q[a])
                dv_n[a] += g * s
                gradient = g * v[a] * (ONE - s * s)
                dkey[a] = gradient
                dq[a] += gradient
