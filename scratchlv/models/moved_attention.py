"""Attention that begins where another one was, moved: from what was found to what lies right of it.

Neural module networks have a module that turns the attention to an object into that to what is above it (Andreas et al. 2016,
"Neural module networks", section 3.2: re-attention); a neural Turing machine shifts the one before by a kernel (Graves et al.
2014, equations 7 to 9). Here the kernel is over all displacements of a grid, and multiplies what is looked for by where:

    m_l  = Σ_l' exp(r_{d(l, l')}) a_l'           a, the attention before; d, the displacement from region l' to l
    β_l  = α_l m_l / s,  s = ε + Σ_k α_k m_k     α, the attention to what is looked for, wherever it lies

so β = softmax(e + log m) where α = softmax(e), but for ε: where nothing that is looked for lies so, nothing is found. With r = 0
all is as it was, β = α. Backwards:

    d(α m)_l = (dβ_l - Σ_k dβ_k β_k) / s
    dα = d(α m) m      dm = d(α m) α      da_l' = Σ_l dm_l exp(r_{d(l, l')})
    dr_δ = exp(r_δ) Σ_{d(l, l') = δ} dm_l a_l'

To look up a weight for each pair of regions is an embedding, of the displacement; and the last sum is its gradient.

Shapes: N questions, L = h w regions, R = (2 h - 1) (2 w - 1) displacements.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, as_contiguous, empty
from scratchlv.device import on_gpu
from scratchlv.ops import embedding

_LEAST = 1e-9  # ε


class Cache(NamedTuple):
    """What ``backward`` takes."""

    alpha: Array  # (N, L)
    before: Array  # (L, N)
    weights: Array  # (L, L, N)
    moved: Array  # (N, L)
    beta: Array  # (N, L)
    total: Array  # (N, 1)
    kernel: Array  # (R, N)
    lookup: Any


def displacements(h: int, w: int) -> int:
    """R, how many ways there are to go from one region of a grid (h, w) to another."""
    return (2 * h - 1) * (2 * w - 1)


@functools.lru_cache(maxsize=16)
def of_pairs(h: int, w: int, gpu: int | None = None) -> Array:
    """The number of the displacement from region l' to region l, ``[l, l']`` (L, L); on that GPU, or on the CPU, read-only."""
    if gpu is not None:
        import cupy

        return cupy.asarray(of_pairs(h, w))
    row, column = np.divmod(np.arange(h * w), w)
    down, right = row[:, None] - row, column[:, None] - column
    numbers = (down + h - 1) * (2 * w - 1) + right + w - 1
    numbers.setflags(write=False)
    return numbers


def nearness(h: int, w: int, most: float) -> np.ndarray:
    """r (R,) of an attention that stays about where it was: minus the distance in regions, ``most`` at the most."""
    down, right = np.meshgrid(np.arange(1 - h, h), np.arange(1 - w, w), indexing="ij")
    return -np.minimum(np.hypot(down, right), most).astype(np.float32).reshape(-1)


def forward(
    alpha: Array, before: Array, r: Array, grid: tuple[int, int], *, train: bool = True
) -> tuple[Array, Cache | None]:
    """``beta`` (N, L) of ``alpha`` and ``before`` (N, L), and of ``r`` (N, R), by regions ``grid`` (h, w)."""
    kernel = as_contiguous(np.exp(r - r.max(axis=1, keepdims=True)).T)  # (R, N); a factor for all is lost in s
    pairs = of_pairs(*grid, kernel.device.id) if on_gpu(kernel) else of_pairs(*grid)
    weights, lookup = embedding.forward(pairs, kernel, train=train)  # (L, L, N)
    before = as_contiguous(before.T)
    there = np.multiply(weights, before, out=empty(weights.shape, weights))
    moved = as_contiguous(there.sum(axis=1).T)  # (N, L)
    both = alpha * moved
    total = both.sum(axis=1, keepdims=True) + both.dtype.type(_LEAST)
    beta = both / total
    return beta, Cache(alpha, before, weights, moved, beta, total, kernel, lookup) if train else None


def backward(dbeta: Array, cache: Cache) -> tuple[Array, Array, Array]:
    """``dalpha``, ``dbefore`` (N, L) and ``dr`` (N, R)."""
    dboth = (dbeta - (dbeta * cache.beta).sum(axis=1, keepdims=True)) / cache.total
    dmoved = as_contiguous((dboth * cache.alpha).T)[:, None]  # (L, 1, N)
    pairs = empty(cache.weights.shape, cache.weights)  # (L, L, N)
    dbefore = np.multiply(dmoved, cache.weights, out=pairs).sum(axis=0).T
    (dkernel,) = embedding.backward(np.multiply(dmoved, cache.before, out=pairs), cache.lookup)  # (R, N)
    return dboth * cache.moved, as_contiguous(dbefore), as_contiguous((dkernel * cache.kernel).T)
