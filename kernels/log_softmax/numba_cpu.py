"""The logarithm of a softmax in float32: a row is read and written while it is in cache."""

from typing import NamedTuple

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import exp_nonpositive_of_vector
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import Emitter, address, fence, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import new_counter, next_item, pieces, share
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.kernels.softmax_cross_entropy.reference import check_classes
from scratchlv.kernels.softmax_cross_entropy.vectors import (
    Found,
    largest,
    rows_of,
    sum_of_fold,
    three_rows,
    waking_for,
)
from scratchlv.memory import empty


class Cache(NamedTuple):
    y: np.ndarray  # (..., V)


def limits(logits: np.ndarray, *, train: bool = True) -> str | None:
    return float32_only(logits)


def forward(logits: np.ndarray, *, train: bool = True) -> tuple[np.ndarray, Cache | None]:
    check_classes(logits)
    y = empty(logits.shape)
    z = rows_of(logits)
    with waking_for(z) as threads:
        _forward(z, rows_of(y), wants_nontemporal(y), threads)
    return y, Cache(y) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    y = cache.y
    require("logits", dy=(dy, y.shape))
    dlogits = empty(y.shape)
    rows = rows_of(dy)
    with waking_for(rows) as threads:
        _backward(rows, rows_of(y), rows_of(dlogits), wants_nontemporal(dlogits), threads)
    return (dlogits,)


@kernel(parallel=True)
def _forward(z, y, nontemporal, threads):
    M, V = z.shape
    counter, n = new_counter(), pieces(M, threads)
    for _ in prange(threads):
        piece = next_item(counter)
        while piece < n:
            first, last = share(M, piece, n)
            top, past_top, log_sum = largest(address(z[first]), V), np.float32(0), np.float32(0)
            for i in range(first, last + 1):  # of the last one it writes the row before
                coming, row, past = min(i + 1, last - 1), min(i, last - 1), max(i - 1, first)
                top_of_coming, total = _rows_of_log_softmax(
                    address(z[coming]),
                    address(z[row]),
                    top,
                    address(z[past]),
                    past_top,
                    log_sum,
                    address(y[past]),
                    V,
                    nontemporal,
                )
                past_top, top, log_sum = top, top_of_coming, np.float32(np.log(total))
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
            s = _sum_of_row(address(dy[first]), V)
            for i in range(first, last):
                coming = dy[min(i + 1, last - 1)]
                s = _gradient_of_row(
                    address(coming), address(dy[i]), address(y[i]), np.float32(s), address(dz[i]), V, nontemporal
                )
            piece = next_item(counter)
        if nontemporal:
            fence()


@intrinsic
def _rows_of_log_softmax(typing_context, coming, row, top, past, past_top, log_sum, out, size, nontemporal):
    """What :func:`three_rows` returns; ``(x - past_top) - log_sum`` of the row before, ``past``, is written to ``out``."""

    def emit(context, builder, signature, arguments):
        coming, row, top, past, past_top, log_sum, out, size, nontemporal = arguments
        e = Emitter(builder)
        past_top, log_sum = e.splat(past_top), e.splat(log_sum)

        def each(i, lanes, _):
            result = builder.fsub(builder.fsub(e.load(e.address(past, i), lanes), past_top), log_sum)
            e.store_nontemporal(result, e.address(out, i), nontemporal, lanes)

        return three_rows(context, e, coming, row, top, size, each)

    numbers = types.float32, types.float32
    return Found(
        types.int64, types.int64, types.float32, types.int64, *numbers, types.int64, types.int64, types.boolean
    ), emit


@intrinsic
def _sum_of_row(typing_context, row, size):
    """The sum of ``size`` floats at an address, to the bit as :func:`_gradient_of_row` adds them up."""

    def emit(context, builder, signature, arguments):
        row, size = arguments
        e = Emitter(builder)
        return sum_of_fold(
            e, size, lambda i, lanes, values: [builder.fadd(values[0], e.load(e.address(row, i), lanes))]
        )

    return types.float64(types.int64, types.int64), emit


@intrinsic
def _gradient_of_row(typing_context, coming, dy, y, s, out, size, nontemporal):
    """Write ``dy - s e^y`` to ``out``; returns the sum of the row ``coming``, which is read meanwhile."""

    def emit(context, builder, signature, arguments):
        coming, dy, y, s, out, size, nontemporal = arguments
        e = Emitter(builder)
        negative_s = e.splat(builder.fneg(s))

        def body(i, lanes, values):
            p = exp_nonpositive_of_vector(e, e.load(e.address(y, i), lanes))
            result = e.fma(p, negative_s, e.load(e.address(dy, i), lanes))
            e.store_nontemporal(result, e.address(out, i), nontemporal, lanes)
            return [builder.fadd(values[0], e.load(e.address(coming, i), lanes))]

        return sum_of_fold(e, size, body)

    addresses = types.int64, types.int64, types.int64
    return types.float64(*addresses, types.float32, types.int64, types.int64, types.boolean), emit
