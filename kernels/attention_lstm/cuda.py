"""The attending LSTM on a GPU: the launches of ``attention_lstm.cu`` and of a file for each score.

What is a product over all steps is one product.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import Module, load
from scratchlv.cuda.arrays import (
    as_contiguous,
    as_strided_rows,
    cannot_serve,
    empty,
    empty_rows,
    on_gpu,
    place,
    stride_of,
    whole_rows,
    zeros,
)
from scratchlv.cuda.versions import version
from scratchlv.kernels.additive_attention.cuda import CHUNK, as_mask
from scratchlv.kernels.attention_lstm.reference import Gradients, check
from scratchlv.kernels.building_blocks.recurrent_plan import shared_memory
from scratchlv.kernels.linear.cuda import sum_rows
from scratchlv.kernels.lstm.cuda import cell_backward, cell_forward
from scratchlv.kernels.matmul.cuda import gemm

VERSIONS = {
    1: "the launches of the rooms for each step",
    2: "one launch for all steps",
    3: "one launch, the weights on the chip",
}
THREADS, REGIONS, DEPTH, PAD, WARPS = 256, 8, 128, 33, 8  # as in attention_lstm.cu and .cuh
SHARED = 4 * (DEPTH * PAD + 16 * WARPS * PAD + 4 * CHUNK)  # bytes of a block of version 2


class Extra(NamedTuple):
    """What only some calls have: a gate, drawn regions, or both. What is absent is None."""

    Wg: Array | None  # (H,)
    bg: Array | None  # (1,)
    draws: Array | None  # (T, N)
    looked: Array  # (T, N, L), s; α itself where nothing is drawn
    context: Array  # (T, N, D), before the gate; z itself where there is none
    gate: Array  # (T, N), after σ


class Cache(NamedTuple):
    words: Array  # (T, N, E)
    x: Array  # (N, L, D)
    keys: Array  # (N, L, A)
    query: Array  # (T, N, A)
    alpha: Array  # (T, N, L)
    z: Array  # (T, N, D)
    h: Array  # (T + 1, N, H)
    c: Array  # (T + 1, N, H)
    gates: Array  # (T, N, 4H), after σ and tanh
    Wq: Array  # (H, A)
    v: Array | None  # (A,)
    Wx: Array  # (E + D, 4H)
    Wh: Array  # (H, 4H)
    extra: Extra | None
    need_dx: bool

    @property
    def looked(self) -> Array:
        """s (T, N, L), which is α where no region was drawn."""
        return self.alpha if self.extra is None else self.extra.looked


def limits(
    words: Any,
    x: Any,
    keys: Any,
    h0: Any,
    c0: Any,
    Wq: Any,
    v: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    mask: Any = None,
    Wg: Any = None,
    bg: Any = None,
    draws: Any = None,
    *,
    need_dx: bool = True,
    train: bool = True,
) -> str | None:
    return cannot_serve(words, x, keys, h0, c0, Wq, v, Wx, Wh, b, Wg, bg)


def forward(
    words: Array,
    x: Array,
    keys: Array,
    h0: Array,
    c0: Array,
    Wq: Array,
    v: Array | None,
    Wx: Array,
    Wh: Array,
    b: Array,
    mask: Array | None = None,
    Wg: Array | None = None,
    bg: Array | None = None,
    draws: Array | None = None,
    *,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[tuple[Array, Array, Array], Cache | None]:
    check(words, x, keys, h0, c0, Wq, v, Wx, Wh, b, mask, Wg, bg, draws)
    words, keys, Wq, Wx, Wh = (as_contiguous(a) for a in (words, keys, Wq, Wx, Wh))
    x = as_strided_rows(x)
    v, mask = None if v is None else as_contiguous(v), as_mask(mask, x)
    (T, N, E), (_, L, D), (H, A) = words.shape, x.shape, Wq.shape
    gates = gemm(words.reshape(T * N, E), Wx[:E], bias=b).reshape(T, N, 4 * H)
    query, alpha, z = empty((T, N, A), x), empty((T, N, L), x), empty_rows((T, N, D), stride_of(x), x)
    h, c = empty((T + 1, N, H), x), empty((T + 1, N, H), x)
    h[0], c[0] = h0, c0
    extra = _extra(Wg, bg, draws, alpha, z)
    given = gates, x, keys, v, mask, Wq, Wh, Wx[E:], query, alpha, z, h, c
    if extra is None and _one_launch(x, keys, h, T):
        _forward_in_one_launch(*given)
    else:
        _forward_by_steps(*given, extra)
    cache = Cache(words, x, keys, query, alpha, z, h, c, gates, Wq, v, Wx, Wh, extra, need_dx) if train else None
    return (h[1:], z, alpha), cache


def _extra(Wg: Array | None, bg: Array | None, draws: Array | None, alpha: Array, z: Array) -> Extra | None:
    if Wg is None and draws is None:
        return None
    looked = alpha if draws is None else empty(alpha.shape, alpha)
    draws = None if draws is None else as_contiguous(place(draws, alpha), np.int64)
    if Wg is None:
        return Extra(None, None, draws, looked, z, empty((0,), z))
    context = empty_rows(z.shape, stride_of(z), z)
    return Extra(as_contiguous(Wg), as_contiguous(bg), draws, looked, context, empty(z.shape[:2], z))


def backward(dy: tuple[Array | None, Array | None, Array | None], cache: Cache) -> Gradients:
    words, x, keys, query, alpha, z, h, c, gates, Wq, v, Wx, Wh, extra, need_dx = cache
    (T, N, E), (_, _, D), (H, A) = words.shape, x.shape, Wq.shape
    upstream = tuple(None if d is None else as_contiguous(d) for d in dy)
    dgate = None if extra is None else empty(extra.gate.shape, x)
    if extra is None and _one_launch(x, keys, h, T):
        da, dz, dquery, de, dh, dc = _backward_in_one_launch(cache, *upstream)
    else:
        da, dz, dquery, de, dh, dc = _backward_by_steps(cache, dgate, *upstream)
    if v is None:
        dkeys, dv = _sum_over_steps(de, query), None
    else:
        dkeys, dv = _keys_backward(cache, de)
    dx = _sum_over_steps(cache.looked, dz) if need_dx else None
    words, z, da = words.reshape(T * N, E), z.reshape(T * N, D), da.reshape(T * N, 4 * H)
    before = h[:T].reshape(T * N, H)
    dWx = empty(Wx.shape, x)
    gemm(words, da, dWx[:E], transpose_a=True)
    gemm(z, da, dWx[E:], transpose_a=True)
    dwords = gemm(da, Wx[:E], transpose_b=True).reshape(T, N, E)
    dWq = gemm(before, dquery.reshape(T * N, A), transpose_a=True)
    dWh = gemm(before, da, transpose_a=True)
    dWg = dbg = None
    if extra is not None and dgate is not None and extra.Wg is not None:
        dWg, dbg = gemm(before, dgate.reshape(T * N, 1), transpose_a=True).reshape(H), sum_rows(dgate.reshape(T * N, 1))
    return Gradients(dwords, dx, dkeys, dh, dc, dWq, dv, dWx, dWh, sum_rows(da), dWg, dbg)


# --- Version 1: the launches of the rooms ----------------------------------------------------------------------------


def _forward_by_steps(gates, x, keys, v, mask, Wq, Wh, Wz, query, alpha, z, h, c, extra) -> None:
    (N, L, A), D = keys.shape, x.shape[2]
    module, scale = _attention(v), np.float32(1)
    sizes, chunks = tuple(np.int32(n) for n in (L, D, stride_of(x), A)), -(-L // CHUNK)
    maxima, sums, partial_z = empty((N, chunks), x), empty((N, chunks), x), empty((N, chunks, stride_of(x)), x)
    whole_x = whole_rows(x)
    for t in range(len(gates)):
        gemm(h[t], Wq, query[t])
        given = whole_x, keys, query[t], v, scale, mask
        module["attend_3"]((N * chunks,), (128,), *given, alpha[t], maxima, sums, partial_z, *sizes)
        context = whole_rows(z[t] if extra is None else extra.context[t])
        module["combine_3"]((N,), (128,), alpha[t], maxima, sums, partial_z, context, *sizes[:3])
        if extra is not None:
            _look(extra, whole_x, h[t], alpha[t], z[t], t)
        gemm(h[t], Wh, gates[t], accumulate=True)
        gemm(z[t], Wz, gates[t], accumulate=True)
        cell_forward(gates[t], c[t], c[t + 1], h[t], h[t + 1], None, t)


def _look(extra: Extra, x: Array, h: Array, alpha: Array, z: Array, t: int) -> None:
    """A step's ``looked`` and ``context``, where a region is drawn, and its ``gate`` and ``z``, where there is one."""
    Wg, bg, draws, looked, context, gate = extra
    (N, L, wide), D, H = x.shape, z.shape[1], h.shape[1]
    at_t = None if draws is None else draws[t]
    results = looked[t], whole_rows(context[t]), whole_rows(z), gate if Wg is None else gate[t]
    sizes = (np.int32(n) for n in (L, D, wide, H))
    load("attention_lstm.cu")["look_1"]((N,), (128,), x, h, alpha, at_t, Wg, bg, *results, *sizes)


def _look_backward(extra: Extra, dz: Array, dcontext: Array, dgate: Array, dh: Array, t: int) -> Array:
    """``dcontext``, what of ``dz`` goes on to the weights; ``dz`` becomes that of the context."""
    Wg, _, draws, _, context, gate = extra
    (N, D), H = dz.shape, dh.shape[1]
    of_gate = (gate, dgate) if Wg is None else (gate[t], dgate[t])
    given = whole_rows(context[t]), of_gate[0], None if draws is None else draws[t], Wg
    results = whole_rows(dz), whole_rows(dcontext), of_gate[1], dh
    sizes = (np.int32(n) for n in (D, stride_of(dz), H))
    load("attention_lstm.cu")["look_backward_1"]((N,), (128,), *given, *results, *sizes)
    return dcontext


def _backward_by_steps(cache: Cache, dgate, dh_out, dz_out, dalpha_out) -> tuple[Array, ...]:
    words, x, keys, query, alpha, z, h, c, gates, Wq, v, Wx, Wh, extra, _ = cache
    (T, N, E), (_, L, D), (H, A) = words.shape, x.shape, Wq.shape
    module, query_backward = _attention(v), load("attention_lstm.cu")["query_backward_1"]
    sizes, chunks, across = (np.int32(L), np.int32(A)), -(-L // CHUNK), -(-A // 32)
    da, dquery, de = (empty(a.shape, x) for a in (gates, query, alpha))
    dz = empty_rows(z.shape, stride_of(x), x)
    dz[...] = 0 if dz_out is None else dz_out
    dcontext = None if extra is None else empty_rows((N, D), stride_of(x), x)
    whole_x, of_regions = whole_rows(x), tuple(np.int32(n) for n in (L, D, stride_of(x)))
    dh, dc, dalpha, dquery_partials = zeros((N, H), x), zeros((N, H), x), empty((N, L), x), empty((N, chunks, A), x)
    for t in reversed(range(T)):
        dh_t, dalpha_t = (None if d is None else d[t] for d in (dh_out, dalpha_out))
        cell_backward(da[t], gates[t], c[t], c[t + 1], dh_t, dh, dc, None, t)
        gemm(da[t], Wh, dh, transpose_b=True, accumulate=True)
        dz[t] += gemm(da[t], Wx[E:], transpose_b=True)
        dcontext = dz[t] if extra is None else _look_backward(extra, dz[t], dcontext, dgate, dh, t)
        given = whole_x, alpha[t], whole_rows(dcontext), dalpha_t, dalpha
        module["dalpha_3"]((N * chunks,), (128,), *given, *of_regions)
        query_backward((N * chunks,), (128,), keys, query[t], v, alpha[t], dalpha, de[t], dquery_partials, *sizes)
        partials = dquery_partials, None, dquery[t], None
        module["sum_partials_3"]((across * N,), (32, 8), *partials, np.int32(N), *sizes, np.int32(across))
        gemm(dquery[t], Wq, dh, transpose_b=True, accumulate=True)
    return da, dz, dquery, de, dh, dc


def _attention(v: Array | None) -> Module:
    """The kernels of the room that attends."""
    return load("dot_product_attention.cu" if v is None else "additive_attention.cu")


def _score(v: Array | None) -> str:
    return "dot" if v is None else "additive"


# --- Versions 2 and 3: all steps in one launch ------------------------------------------------------------------------


def _one_launch(x: Array, keys: Array, h: Array, T: int) -> bool:
    """Where something is empty there is nothing to be fast at, and version 1 does it."""
    return version(VERSIONS) >= 2 and T > 0 and 0 not in (*x.shape, *keys.shape, *h.shape)


def _forward_in_one_launch(gates, x, keys, v, mask, Wq, Wh, Wz, query, alpha, z, h, c) -> None:
    (T, N, H), (_, L, A), D = h.shape, keys.shape, x.shape[2]
    T, chunks = T - 1, -(-L // CHUNK)
    maxima, sums, partial_z = empty((N, chunks), x), empty((N, chunks), x), empty((N, chunks, stride_of(x)), x)
    given = whole_rows(x), keys, v, mask, Wq, Wh, Wz
    arrays = gates, *given, query, alpha, whole_rows(z), h, c, maxima, sums, partial_z
    kept = max(-(-A // 4), -(-H // 4)), 20 * H + 16 * D
    _launch(f"{_score(v)}_forward", arrays, (T, N, L, D, stride_of(x), A, H), *kept)


def _backward_in_one_launch(cache: Cache, dh_out, dz_out, dalpha_out) -> tuple[Array, ...]:
    words, x, keys, query, alpha, z, h, c, gates, Wq, v, Wx, Wh, _, _ = cache
    (T, N, E), (_, L, D), (H, A) = words.shape, x.shape, Wq.shape
    da, dquery, de = (empty(a.shape, x) for a in (gates, query, alpha))
    dz = empty_rows(z.shape, stride_of(x), x)
    dh, dc = empty((N, H), x), empty((N, H), x)
    dalpha, dquery_partials = empty((N, L), x), empty((N, -(-L // CHUNK), A), x)
    upstream = dh_out, dz_out, dalpha_out
    given = gates, c, whole_rows(x), keys, v, query, alpha, *upstream, Wq, Wh, Wx[E:]
    arrays = *given, da, whole_rows(dz), dquery, de, dh, dc, dalpha, dquery_partials
    kept = max(-(-H // 4), -(-H // 8) + -(-D // 8)), 4 * A + 32 * H
    _launch(f"{_score(v)}_backward", arrays, (T, N, L, D, stride_of(x), A, H), *kept)
    return da, dz, dquery, de, dh, dc


def _launch(name: str, arrays: tuple, sizes: tuple[int, ...], groups: int, kept: int) -> None:
    """As many blocks as have something to do in the largest phase, and as the chip holds at the same time.

    Version 3, if the chip holds ``groups`` blocks, one for each group of columns, that keep so many weights each.
    """
    _, N, L, D, _, A, H = sizes
    rows = -(-N // 32)
    jobs = max(N * -(-L // CHUNK), rows * -(-max(H, A) // 4), rows * (-(-H // 8) + -(-D // 8)))
    module = load("attention_lstm.cu")  # a file in its place may have all kernels
    if f"{name}_2" not in module:
        module = load(f"{name.split('_')[0]}_attention_lstm.cu")
    engine, numbers, shared = module.engine(on_gpu(arrays[0])), [np.int32(n) for n in sizes], SHARED + 4 * kept
    if version(VERSIONS) == 3 and f"{name}_3" in module and shared <= shared_memory(arrays[0]):
        most = engine.blocks_at_once(f"{name}_3", (THREADS,), shared)
        if most >= groups:
            grid = (max(groups, min(most, jobs)),)
            module[f"{name}_3"](grid, (THREADS,), *arrays, *numbers, shared=shared, cooperative=True)
            return
    most = engine.blocks_at_once(f"{name}_2", (THREADS,), SHARED)
    module[f"{name}_2"]((min(most, jobs),), (THREADS,), *arrays, *numbers, shared=SHARED, cooperative=True)


# --- The last pass ---------------------------------------------------------------------------------------------------


def _keys_backward(cache: Cache, de: Array) -> tuple[Array, Array]:
    """``dkeys`` (N, L, A) and ``dv`` (A,), of all steps."""
    keys, query, v = cache.keys, cache.query, cache.v
    (T, N, A), L = query.shape, keys.shape[1]
    tiles = -(-L // REGIONS)
    dkeys, dv_partials = empty(keys.shape, keys), empty((N * tiles, A), keys)
    sizes = (np.int32(n) for n in (T, N, L, A, tiles))
    load("attention_lstm.cu")["keys_backward"]((N * tiles,), (128,), keys, query, v, de, dkeys, dv_partials, *sizes)
    return dkeys, sum_rows(dv_partials)


def _sum_over_steps(weights: Array, rows: Array) -> Array:
    """``Σ_t weights[t, n, l] rows[t, n]`` (N, L, D), of ``weights`` (T, N, L) and ``rows`` (T, N, D)."""
    (T, N, L), D = weights.shape, rows.shape[2]
    tiles = -(-L // REGIONS)
    out = empty((N, L, D), rows)
    sizes = (np.int32(n) for n in (T, N, L, D, stride_of(rows), tiles))
    load("attention_lstm.cu")["sum_over_steps"]((N * tiles,), (128,), weights, whole_rows(rows), out, *sizes)
    return out
