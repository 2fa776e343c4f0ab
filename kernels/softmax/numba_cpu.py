"""Softmax in float32: a row goes from scores to probabilities while it is in cache."""

from typing import NamedTuple

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import WIDTH, Emitter, address, fence, scale, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import new_counter, next_item, pieces, share
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.kernels.softmax.reference import check
from scratchlv.kernels.softmax_cross_entropy.vectors import (
    cross_entropy_rows,
    largest,
    rows_of,
    sum_of_fold,
    waking_for,
)
from scratchlv.memory import empty

NOWHERE, ZERO = np.float32(-np.inf), np.float32(0)


class Cache(NamedTuple):
    y: np.ndarray  # (..., V)


def limits(logits: np.ndarray, mask: np.ndarray | None = None, *, train: bool = True) -> str | None:
    return float32_only(logits)


def forward(
    logits: np.ndarray, mask: np.ndarray | None = None, *, train: bool = True
) -> tuple[np.ndarray, Cache | None]:
    check(logits, mask)
    if mask is not None:
        seen = empty(logits.shape)
        seen[...] = NOWHERE
        np.copyto(seen, logits, where=mask.astype(np.bool_))
        logits = seen
    y, V = empty(logits.shape), logits.shape[-1]
    z = rows_of(logits)
    with waking_for(z) as threads:
        exponentials = empty((threads, 2, -(-V // WIDTH) * WIDTH))
        _forward(z, y.reshape(z.shape), exponentials, wants_nontemporal(y))
    return y, Cache(y) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    y = cache.y
    require("logits", dy=(dy, y.shape))
    dlogits = empty(y.shape)
    rows = rows_of(dy)
    with waking_for(rows) as threads:
        _backward(rows, rows_of(y), dlogits.reshape(rows.shape), wants_nontemporal(dlogits), threads)
    return (dlogits,)


@kernel(parallel=True)
def _forward(z, y, exponentials, nontemporal):
    """Exponentials wait in one of two buffers until their sum is known; those of the row before are scaled meanwhile."""
    M, V = z.shape
    threads = len(exponentials)
    counter, n = new_counter(), pieces(M, threads)
    for thread in prange(threads):
        piece = next_item(counter)
        while piece < n:
            first, last = share(M, piece, n)
            top = largest(address(z[first]), V)
            past, factor, out = (
                exponentials[thread, 1],
                ZERO,
                exponentials[thread, 1],
            )  # before the first is none: scrap
            for i in range(first, last):
                coming, now = z[min(i + 1, last - 1)], exponentials[thread, (i - first) % 2]
                top_of_coming, total = cross_entropy_rows(
                    address(coming),
                    address(z[i]),
                    ZERO if top == NOWHERE else top,
                    address(now),
                    address(past),
                    factor,
                    address(out),
                    V,
                    True,
                    nontemporal and i > first,
                )
                past, factor, out, top = now, np.float32(1 / total) if total != 0 else ZERO, y[i], top_of_coming
            scale(address(past), factor, address(out), V, nontemporal)
            piece = next_item(counter)
        if nontemporal:
            fence()


@kernel(parallel=True)
def _backward(dy, y, dz, nontemporal, threads):
    M, V = y.shape
    counter, n = new_counter(), pieces(M, threads)
    for _ in prange(threads):
        piece = next_item(counter)
        while piece < n:
            first, last = share(M, piece, n)
            s = _dot_of_row(address(dy[first]), address(y[first]), V)
            for i in range(first, last):
                coming = min(i + 1, last - 1)
                s = _gradient_of_row(
                    address(dy[coming]),
                    address(y[coming]),
                    address(dy[i]),
                    address(y[i]),
                    np.float32(s),
                    address(dz[i]),
                    V,
                    nontemporal,
                )
            piece = next_item(counter)
        if nontemporal:
            fence()


@intrinsic
def _dot_of_row(typing_context, dy, y, size):
    """Σ dy y over ``size`` floats at two addresses, to the bit as :func:`_gradient_of_row` adds them up."""

    def emit(context, builder, signature, arguments):
        dy, y, size = arguments
        e = Emitter(builder)
        return sum_of_fold(e, size, lambda i, lanes, sums: [_add_product(e, dy, y, i, lanes, *sums)])

    return types.float64(types.int64, types.int64, types.int64), emit


@intrinsic
def _gradient_of_row(typing_context, coming_dy, coming_y, dy, y, s, out, size, nontemporal):
    """Write ``y (dy - s)`` to ``out``; returns Σ dy y of the row that comes, which is read meanwhile."""

    def emit(context, builder, signature, arguments):
        coming_dy, coming_y, dy, y, s, out, size, nontemporal = arguments
        e = Emitter(builder)
        s = e.splat(s)

        def body(i, lanes, sums):
            less_mean = builder.fsub(e.load(e.address(dy, i), lanes), s)
            result = builder.fmul(e.load(e.address(y, i), lanes), less_mean)
            e.store_nontemporal(result, e.address(out, i), nontemporal, lanes)
            return [_add_product(e, coming_dy, coming_y, i, lanes, *sums)]

        return sum_of_fold(e, size, body)

    addresses = types.int64, types.int64, types.int64, types.int64
    return types.float64(*addresses, types.float32, types.int64, types.int64, types.boolean), emit


def _add_product(e, dy, y, i, lanes, total):
    return e.fma(e.load(e.address(dy, i), lanes), e.load(e.address(y, i), lanes), total)
