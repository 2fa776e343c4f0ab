"""Additive attention on a GPU: the launches of ``additive_attention.cu``.

:func:`attend` and :func:`attend_backward` serve the dot product too: both files have the kernels of ``attention_kernels.cuh``.
So do :func:`attend_by_queries` and its way back, of ``attention_queries.cuh``: several queries are served by the same kernels
whichever version is asked for.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, add
from scratchlv.cuda import Module, load
from scratchlv.cuda.arrays import (
    MOST_UNASKED,
    as_contiguous,
    as_strided_rows,
    blocks,
    cannot_serve,
    empty,
    empty_rows,
    place,
    whole_rows,
)
from scratchlv.cuda.versions import version
from scratchlv.kernels.additive_attention.reference import Gradients, check, each, outputs
from scratchlv.kernels.building_blocks.shapes import require

VERSIONS = {1: "a launch for each line", 2: "a block for each picture", 3: "pictures in chunks of 16 regions"}
CHUNK = 16  # as in attention.cuh


class Cache(NamedTuple):
    x: Array  # (N, L, D)
    keys: Array  # (N, L, A)
    query: Array  # (N, A) or (N, T, A)
    v: Array  # (A,)
    alpha: Array  # (N, L) or (N, T, L)


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
    return cannot_serve(x, keys, query, v)


def forward(
    x: Array,
    keys: Array,
    query: Array,
    v: Array,
    mask: Array | None = None,
    *,
    causal: bool = False,
    offset: int = 0,
    scores: bool = False,
    train: bool = True,
) -> tuple[tuple[Array, ...], Cache | None]:
    check(x, keys, query, v, mask, causal, offset)
    x, keys, query, v = as_strided_rows(x), as_contiguous(keys), as_contiguous(query), as_contiguous(v)
    given = load("additive_attention.cu"), x, keys, query, v, 1.0, as_mask(mask, x)
    y = attend(*given) if query.ndim == 2 and not scores else attend_by_queries(*given, causal, offset, scores)
    return y, Cache(x, keys, query, v, y[1]) if train else None


def backward(dy: tuple[Array | None, ...], cache: Cache, *, dx: Array | None = None) -> Gradients:
    x, keys, query, v, alpha = cache
    require("x", dx=(dx, x.shape))
    module = load("additive_attention.cu")
    grads = Gradients(*attend_backward(module, x, keys, query, v, 1.0, alpha, dy))
    return grads._replace(dx=add(dx, grads.dx))


def as_mask(mask: Array | None, like: Array) -> Array | None:
    return None if mask is None else as_contiguous(place(mask, like), np.bool_)


def attend(
    module: Module, x: Array, keys: Array, query: Array, v: Array | None, scale: float, mask: Array | None
) -> tuple[Array, Array]:
    """``z`` (N, D) and ``alpha`` (N, L), by the kernels of a score: of additive attention, or of the dot product (``v`` None)."""
    (N, L, A), D, x = keys.shape, x.shape[2], whole_rows(x)
    wide = x.shape[2]
    z, alpha, sizes = empty((N, wide), x), empty((N, L), x), tuple(np.int32(n) for n in (L, D, wide, A))
    given = x, keys, query, v, np.float32(scale), mask
    number = _version(L)
    if number == 1:
        module["scores_1"](blocks(N * L, 256), (256,), *given, alpha, np.int64(N * L), *sizes)
        module["softmax_1"]((N,), (256,), alpha, np.int32(L))
        module["context_1"](blocks(N * D, 256), (256,), x, alpha, mask, z, np.int64(N * D), *sizes[:3])
    elif number == 2:
        module["attend_2"]((N,), (_threads(L),), *given, alpha, z, *sizes, shared=4 * L)
    else:
        chunks = -(-L // CHUNK)
        maxima, sums, partial_z = empty((N, chunks), x), empty((N, chunks), x), empty((N, chunks, wide), x)
        module["attend_3"]((N * chunks,), (128,), *given, alpha, maxima, sums, partial_z, *sizes)
        module["combine_3"]((N,), (128,), alpha, maxima, sums, partial_z, z, *sizes[:3])
    return z[:, :D], alpha


def attend_backward(
    module: Module,
    x: Array,
    keys: Array,
    query: Array,
    v: Array | None,
    scale: float,
    alpha: Array,
    dy: tuple[Array | None, ...],
) -> tuple[Array, Array, Array, Array | None]:
    """``dx, dkeys, dquery, dv``; the last is None where there is no v."""
    if query.ndim == 3 or len(dy) > 2:
        return attend_by_queries_backward(module, x, keys, query, v, scale, alpha, dy)
    (N, L, A), D, dx, x = keys.shape, x.shape[2], empty(x.shape, x), whole_rows(x)
    dz, dalpha_out = None if dy[0] is None else _as_far_apart(dy[0], x), None if dy[1] is None else as_contiguous(dy[1])
    dkeys, dquery = empty(keys.shape, x), empty(query.shape, x)
    dv = None if v is None else empty(v.shape, x)
    given, sizes = (x, keys, query, v, np.float32(scale)), tuple(np.int32(n) for n in (L, D, x.shape[2], A))
    number, across = _version(L), -(-A // 32)
    if number == 1:
        de = empty((N, L), x)
        module["softmax_backward_1"]((N,), (256,), x, alpha, dz, dalpha_out, de, *sizes[:3])
        regions = blocks(N * L, 256), (256,)
        module["regions_backward_1"](*regions, *given, alpha, dz, de, dx, dkeys, np.int64(N * L), *sizes)
        groups = N * -(-A // 4)
        module["query_backward_1"](blocks(groups, 256), (256,), *given, alpha, de, dquery, np.int64(groups), *sizes)
        if v is not None:
            numbers = (np.int32(n) for n in (N, L, A))
            module["v_backward_1"](blocks(A, 4 * 32), (32,), keys, query, v, alpha, de, dv, *numbers)
    elif number == 2:
        dv_partials = None if v is None else empty((N, A), x)
        results = dx, dkeys, dquery, dv_partials
        module["attend_backward_2"]((N,), (_threads(L),), *given, alpha, dz, dalpha_out, *results, *sizes, shared=4 * L)
        if v is not None:
            module["sum_partials_2"]((across,), (32, 8), dv_partials, dv, np.int32(N), np.int32(A))
    else:
        chunks = -(-L // CHUNK)
        dalpha, dquery_partials = empty((N, L), x), empty((N, chunks, A), x)
        dv_partials = None if v is None else empty((N, chunks, A), x)
        module["dalpha_3"]((N * chunks,), (128,), x, alpha, dz, dalpha_out, dalpha, *sizes[:3])
        results = dx, dkeys, dquery_partials, dv_partials
        module["attend_backward_3"]((N * chunks,), (128,), *given, alpha, dz, dalpha, *results, *sizes)
        grid, numbers = (across * (N + (v is not None)),), (np.int32(n) for n in (N, L, A, across))
        module["sum_partials_3"](grid, (32, 8), dquery_partials, dv_partials, dquery, dv, *numbers)
    return dx, dkeys, dquery, dv


def _as_far_apart(dz: Array, x: Array) -> Array:
    """``dz`` (N, D), its rows as far apart as those of ``x`` (N, L, wide): (N, wide)."""
    dz, wide = as_strided_rows(dz), x.shape[2]
    if whole_rows(dz).shape[1] == wide:
        return whole_rows(dz)
    rows = empty_rows(dz.shape, wide, x)
    rows[...] = dz
    return whole_rows(rows)


# --- several queries -------------------------------------------------------------------------------------------------


def attend_by_queries(
    module: Module,
    x: Array,
    keys: Array,
    query: Array,
    v: Array | None,
    scale: float,
    mask: Array | None,
    causal: bool,
    offset: int,
    scores: bool,
) -> tuple[Array, ...]:
    """``z`` (N, T, D), ``alpha`` (N, T, L) and, if asked for, the scores ``e`` (N, T, L); without T for one query (N, A)."""
    (N, L, A), D, T, x = keys.shape, x.shape[2], each(query).shape[1], whole_rows(x)
    z, alpha, e = empty((N, T, D), x), empty((N, T, L), x), empty((N, T, L), x) if scores else None
    ahead = np.int32(max(-T, min(L, offset)) if causal else L)  # how far a query may look beyond its own place
    of_mask, sizes = (mask, np.int32(1 if mask is None or mask.ndim == 2 else T)), (np.int32(T), np.int32(L))
    given = keys, query, v, np.float32(scale), *of_mask
    count = N * T * L
    module["scores_of_queries"](
        blocks(count, 256), (256,), *given, e, alpha, np.int64(count), *sizes, np.int32(A), ahead
    )
    module["softmax_1"]((N * T,), (256,), alpha, np.int32(L))
    count = N * T * D
    numbers = *sizes, np.int32(D), np.int32(x.shape[2]), ahead
    module["context_of_queries"](blocks(count, 256), (256,), x, alpha, *of_mask, z, np.int64(count), *numbers)
    return outputs(query, z, alpha) if e is None else outputs(query, z, alpha, e)


def attend_by_queries_backward(
    module: Module,
    x: Array,
    keys: Array,
    query: Array,
    v: Array | None,
    scale: float,
    alpha: Array,
    dy: tuple[Array | None, ...],
) -> tuple[Array, Array, Array, Array | None]:
    """:func:`attend_backward` of several queries, or of scores that were handed out."""
    (N, L, A), D, T = keys.shape, x.shape[2], each(query).shape[1]
    dz, dalpha_out, de_out = (None if d is None else as_contiguous(d) for d in (*dy, None)[:3])
    dx, dkeys, dquery, de = (empty(like.shape, x) for like in (x, keys, query, alpha))
    dv, dv_partials = (None, None) if v is None else (empty(v.shape, x), empty((N * T, A), x))
    given, sizes = (keys, query, v, np.float32(scale)), (np.int32(T), np.int32(L))
    upstream = dz, dalpha_out, de_out
    given_x, numbers = whole_rows(x), (*sizes, np.int32(D))
    wide = np.int32(given_x.shape[2])
    module["softmax_backward_of_queries"]((N * T,), (256,), given_x, alpha, *upstream, de, *numbers, wide)
    count = N * L * -(-A // 4)
    module["keys_backward_of_queries"](
        blocks(count, 256), (256,), *given, de, dkeys, np.int64(count), *sizes, np.int32(A)
    )
    count = N * L * -(-D // 4)
    module["regions_backward_of_queries"](
        blocks(count, 256), (256,), alpha, dz, dx, np.int64(count), *sizes, np.int32(D)
    )
    count, results = N * T * -(-A // 4), (dquery, dv_partials)
    module["query_backward_of_queries"](
        blocks(count, 256), (256,), *given, de, *results, np.int64(count), *sizes, np.int32(A)
    )
    if v is not None:
        module["sum_partials_2"]((-(-A // 32),), (32, 8), dv_partials, dv, np.int32(N * T), np.int32(A))
    return dx, dkeys, dquery, dv


def _version(L: int) -> int:
    """Version 2 keeps a number of each region in shared memory; where there are too many, 1 does it."""
    number = version(VERSIONS)
    return 1 if number == 2 and 4 * L > MOST_UNASKED else number


def _threads(L: int) -> int:
    """Whole warps, of two regions or more."""
    return 32 * max(1, min(16, L // 2))
