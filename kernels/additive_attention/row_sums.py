"""Sums over the numbers of each region, four regions at a time: what scores, and their gradients, are made of.

A sum on its own keeps the machine waiting, for its next term and, at the end, for its lanes to be added up; four that go on side
by side do not. The lanes are added in float64.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.simd import I32, I64, VECTOR, WIDTH, ZERO, Emitter

AT_A_TIME = 4
ONE, TWO = np.float32(1), np.float32(2)
ONES, MINUS_TWOS = (ir.Constant(VECTOR, [value] * WIDTH) for value in (1.0, -2.0))
DOUBLE = ir.DoubleType()


@kernel(fastmath=FLAGS, error_model="numpy")
def dots_of_rows(rows, y, sums):
    """``sums[l] = rows[l] · y``; ``sums`` (float64) has room for three more than there are rows."""
    L, D = rows.shape
    vectors = D // WIDTH
    for first in range(0, L, AT_A_TIME):
        last = L - 1  # a row that is not there is read as the last one
        _four_dots(
            _row(rows, first),
            _row(rows, min(first + 1, last)),
            _row(rows, min(first + 2, last)),
            _row(rows, min(first + 3, last)),
            y.ctypes.data,
            vectors,
            sums.ctypes.data + 8 * first,
        )
    for l in range(L if vectors * WIDTH < D else 0):
        row = rows[l]
        for d in range(vectors * WIDTH, D):
            sums[l] += row[d] * y[d]


@kernel(fastmath=FLAGS, error_model="numpy")
def scores_of_rows(rows, y, v, sums):
    """``sums[l] = Σ_a v[a] (1 - 2 / (1 + rows[l, a] y[a]))``; ``sums`` as in :func:`dots_of_rows`."""
    L, A = rows.shape
    vectors = A // WIDTH
    for first in range(0, L, AT_A_TIME):
        last = L - 1
        _four_scores(
            _row(rows, first),
            _row(rows, min(first + 1, last)),
            _row(rows, min(first + 2, last)),
            _row(rows, min(first + 3, last)),
            y.ctypes.data,
            v.ctypes.data,
            vectors,
            sums.ctypes.data + 8 * first,
        )
    for l in range(L if vectors * WIDTH < A else 0):
        row = rows[l]
        for a in range(vectors * WIDTH, A):
            sums[l] += v[a] * (ONE - TWO / (ONE + row[a] * y[a]))


@kernel()
def _row(rows, l):
    """The address of a row."""
    return rows.ctypes.data + 4 * rows.shape[1] * l


def _four_sums(builder: ir.IRBuilder, rows, shared, vectors, sums, add) -> None:
    """Emit ``sums[i] = Σ add(vector of row i, vectors of the shared rows, sum so far)``, all given by their addresses."""
    e = Emitter(builder)

    def body(p, totals):
        at = builder.mul(p, I64(WIDTH))
        common = [e.load(e.address(base, at)) for base in shared]
        return [add(e, e.load(e.address(row, at)), *common, sum) for row, sum in zip(rows, totals, strict=True)]

    totals = e.loop(vectors, [ZERO] * AT_A_TIME, body)
    for i, total in enumerate(totals):
        pointer = builder.inttoptr(builder.add(sums, I64(8 * i)), DOUBLE.as_pointer())
        builder.store(_sum_of_lanes(builder, total), pointer)


def _sum_of_lanes(builder: ir.IRBuilder, vector):
    """Halves added to halves, in float64."""
    lanes = WIDTH
    value = builder.fpext(vector, ir.VectorType(DOUBLE, lanes))
    while lanes > 1:
        lanes //= 2
        halves = [
            builder.shuffle_vector(
                value,
                ir.Constant(value.type, ir.Undefined),
                ir.Constant(ir.VectorType(I32, lanes), list(range(start, start + lanes))),
            )
            for start in (0, lanes)
        ]
        value = builder.fadd(*halves)
    return builder.extract_element(value, I32(0))


@intrinsic
def _four_dots(typing_context, row0, row1, row2, row3, y, vectors, sums):
    def emit(context, builder, signature, arguments):
        *rows, y, vectors, sums = arguments
        _four_sums(builder, rows, [y], vectors, sums, lambda e, row, y, total: e.fma(row, y, total))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), emit


@intrinsic
def _four_scores(typing_context, row0, row1, row2, row3, y, v, vectors, sums):
    def emit(context, builder, signature, arguments):
        *rows, y, v, vectors, sums = arguments

        def add(e, row, y, v, total):
            r = builder.fdiv(ONES, e.fma(row, y, ONES))
            return e.fma(v, e.fma(MINUS_TWOS, r, ONES), total)

        _four_sums(builder, rows, [y, v], vectors, sums, add)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit
