"""Additive attention on a GPU: the launches of ``additive_attention.cu``.

:func:`attend` and :func:`attend_backward` serve the dot product too: its file has the same kernels, with a scale where v
stands here.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import Module, load
from scratchlv.cuda.arrays import MOST_UNASKED, as_contiguous, blocks, cannot_serve, empty, place
from scratchlv.cuda.versions import version
from scratchlv.kernels.additive_attention.reference import Gradients, check

VERSIONS = {1: "a launch for each line", 2: "a block for each picture", 3: "pictures in pieces of 16 regions"}
PIECE = 16  # as in attention.cuh


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, A)
    query: Array  # (N, A)
    v: Array  # (A,)
    alpha: Array  # (N, L)


def limits(x: Any, keys: Any, query: Any, v: Any, mask: Any = None, *, train: bool = True) -> str | None:
    return cannot_serve(x, keys, query, v)


def forward(
    x: Array, keys: Array, query: Array, v: Array, mask: Array | None = None, *, train: bool = True
) -> tuple[tuple[Array, Array], Cache | None]:
    check(x, keys, query, v, mask)
    x, keys, query, v = as_contiguous(x), as_contiguous(keys), as_contiguous(query), as_contiguous(v)
    z, alpha = attend(load("additive_attention.cu"), x, keys, query, v, as_mask(mask, x))
    return (z, alpha), Cache(x, keys, query, v, alpha) if train else None


def backward(dy: tuple[Array | None, Array | None], cache: Cache) -> Gradients:
    x, keys, query, v, alpha = cache
    return Gradients(*attend_backward(load("additive_attention.cu"), x, keys, query, v, alpha, dy, empty(v.shape, v)))


def as_mask(mask: Array | None, like: Array) -> Array | None:
    return None if mask is None else as_contiguous(place(mask, like), np.bool_)


def attend(
    module: Module, x: Array, keys: Array, query: Array, score: Array | np.float32, mask: Array | None
) -> tuple[Array, Array]:
    """``z`` (N, D) and ``alpha`` (N, L); ``score`` is what the score of the module takes besides: v, or the scale."""
    (N, L, A), D = keys.shape, x.shape[2]
    z, alpha, sizes = empty((N, D), x), empty((N, L), x), (np.int32(L), np.int32(D), np.int32(A))
    given = x, keys, query, score, mask
    number = _version(L)
    if number == 1:
        module["scores_1"](blocks(N * L, 256), (256,), *given, alpha, np.int64(N * L), *sizes)
        module["softmax_1"]((N,), (256,), alpha, np.int32(L))
        module["context_1"](blocks(N * D, 256), (256,), x, alpha, mask, z, np.int64(N * D), *sizes[:2])
    elif number == 2:
        module["attend_2"]((N,), (_threads(L),), *given, alpha, z, *sizes, shared=4 * L)
    else:
        pieces = -(-L // PIECE)
        tops, sums, parts = empty((N, pieces), x), empty((N, pieces), x), empty((N, pieces, D), x)
        module["attend_3"]((N * pieces,), (128,), *given, alpha, tops, sums, parts, *sizes)
        module["join_3"]((N,), (128,), alpha, tops, sums, parts, z, *sizes[:2])
    return z, alpha


def attend_backward(
    module: Module,
    x: Array,
    keys: Array,
    query: Array,
    score: Array | np.float32,
    alpha: Array,
    dy: tuple[Array | None, Array | None],
    dv: Array | None,
) -> tuple[Array, Array, Array, Array | None]:
    """``dx, dkeys, dquery, dv``; ``dv`` is where the last one goes, or None where there is no v."""
    (N, L, A), D = keys.shape, x.shape[2]
    dz, dalpha = (None if d is None else as_contiguous(d) for d in dy)
    dx, dkeys, dquery = empty(x.shape, x), empty(keys.shape, x), empty(query.shape, x)
    given, sizes = (x, keys, query, score), (np.int32(L), np.int32(D), np.int32(A))

    def with_v(array: Array | None) -> tuple:
        return () if dv is None else (array,)

    number, across = _version(L), -(-A // 32)
    if number == 1:
        de = empty((N, L), x)
        module["softmax_back_1"]((N,), (256,), x, alpha, dz, dalpha, de, *sizes[:2])
        module["regions_back_1"](blocks(N * L, 256), (256,), *given, alpha, dz, de, dx, dkeys, np.int64(N * L), *sizes)
        groups = N * -(-A // 4)
        module["query_back_1"](blocks(groups, 256), (256,), *given, alpha, de, dquery, np.int64(groups), *sizes)
        if dv is not None:
            module["v_back_1"](blocks(A, 4 * 32), (32,), *given, alpha, de, dv, np.int32(N), *sizes)
    elif number == 2:
        shares = None if dv is None else empty((N, A), x)
        results = dx, dkeys, dquery, *with_v(shares)
        module["attend_backward_2"]((N,), (_threads(L),), *given, alpha, dz, dalpha, *results, *sizes, shared=4 * L)
        if dv is not None:
            module["sum_shares_2"]((across,), (32, 8), shares, dv, np.int32(N), np.int32(A))
    else:
        pieces = -(-L // PIECE)
        total, dquery_parts = empty((N, L), x), empty((N, pieces, A), x)
        dv_parts = None if dv is None else empty((N, pieces, A), x)
        module["dalpha_3"]((N * pieces,), (128,), x, alpha, dz, dalpha, total, *sizes[:2])
        results = dx, dkeys, dquery_parts, *with_v(dv_parts)
        module["attend_backward_3"]((N * pieces,), (128,), *given, alpha, dz, total, *results, *sizes)
        sums = dquery_parts, *with_v(dv_parts), dquery, *with_v(dv)
        grid = (across * (N + (dv is not None)),)
        module["sum_pieces_3"](grid, (32, 8), *sums, np.int32(N), np.int32(L), np.int32(A), np.int32(across))
    return dx, dkeys, dquery, dv


def _version(L: int) -> int:
    """Version 2 keeps a number of each region in shared memory; where there are too many, 1 does it."""
    number = version(VERSIONS)
    return 1 if number == 2 and 4 * L > MOST_UNASKED else number


def _threads(L: int) -> int:
    """Whole warps, of two regions or more."""
    return 32 * max(1, min(16, L // 2))
