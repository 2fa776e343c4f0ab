"""Sums over the numbers of regions, four at a time, and over the steps of one: scores and their gradients are made of them.

A sum on its own keeps the machine waiting, for its next term and, at the end, for its lanes to be added up; four that go on side
by side do not. The lanes are added in float64.

tanh(k + q) is 1 - 2 r here, and its slope 4 p r², where p = e^{2k} e^{2q} and r = 1 / (1 + p): the factors of p are given.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.simd import I32, I64, ONES, VECTOR, WIDTH, ZERO, Emitter, address

AT_A_TIME = 4
ZERO_WEIGHT, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)
MINUS_TWOS = ir.Constant(VECTOR, [-2.0] * WIDTH)
DOUBLE = ir.DoubleType()


@kernel(fastmath=FLAGS)
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
            address(y),
            vectors,
            address(sums) + 8 * first,
        )
    for l in range(L if vectors * WIDTH < D else 0):
        row = rows[l]
        for d in range(vectors * WIDTH, D):
            sums[l] += row[d] * y[d]


@kernel(fastmath=FLAGS)
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
            address(y),
            address(v),
            vectors,
            address(sums) + 8 * first,
        )
    for l in range(L if vectors * WIDTH < A else 0):
        row = rows[l]
        for a in range(vectors * WIDTH, A):
            sums[l] += v[a] * (ONE - TWO / (ONE + row[a] * y[a]))


@kernel(fastmath=FLAGS)
def add_derivatives_of_rows(weights, rows, y, derivatives):
    """``derivatives[a] += Σ_l weights[l] p r²``, where p = rows[l, a] y[a]."""
    L, A = rows.shape
    for first in range(0, L, AT_A_TIME):
        last = L - 1
        _add_four_derivatives(
            _row(rows, first),
            _row(rows, min(first + 1, last)),
            _row(rows, min(first + 2, last)),
            _row(rows, min(first + 3, last)),
            weights[first],
            weights[first + 1] if first + 1 <= last else ZERO_WEIGHT,
            weights[first + 2] if first + 2 <= last else ZERO_WEIGHT,
            weights[first + 3] if first + 3 <= last else ZERO_WEIGHT,
            address(y),
            A,
            address(derivatives),
        )


@kernel()
def derivatives_over_steps(weights, row, ys, derivatives, tanhs):
    """``derivatives[a] = Σ_t weights[t] p r²`` and ``tanhs[a] = Σ_t weights[t] (1 - 2 r)``, where p = row[a] ys[t, a]."""
    T, A = ys.shape
    _derivatives_over_steps(address(weights), T, address(row), address(ys), A, address(derivatives), address(tanhs))


@kernel()
def _row(rows, l):
    """The address of a row."""
    return address(rows) + 4 * rows.shape[1] * l


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
            r = e.reciprocal(e.fma(row, y, ONES))
            return e.fma(v, e.fma(MINUS_TWOS, r, ONES), total)

        _four_sums(builder, rows, [y, v], vectors, sums, add)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit


@intrinsic
def _add_four_derivatives(typing_context, row0, row1, row2, row3, w0, w1, w2, w3, y, size, derivatives):
    def emit(context, builder, signature, arguments):
        rows, weights, (y, size, derivatives) = arguments[:4], arguments[4:8], arguments[8:]
        e = Emitter(builder)
        weights = [e.splat(weight) for weight in weights]

        def add(a, lanes):
            factor, total = (e.load(e.address(base, a), lanes) for base in (y, derivatives))
            for row, weight in zip(rows, weights, strict=True):
                total = e.fma(weight, _slope(e, e.load(e.address(row, a), lanes), factor)[0], total)
            e.store(total, e.address(derivatives, a), lanes)

        e.vectors(size, add)
        return context.get_dummy_value()

    numbers = [types.int64] * 4 + [types.float32] * 4 + [types.int64] * 3
    return types.void(*numbers), emit


@intrinsic
def _derivatives_over_steps(typing_context, weights, steps, row, ys, size, derivatives, tanhs):
    def emit(context, builder, signature, arguments):
        weights, steps, row, ys, size, derivatives, tanhs = arguments
        e = Emitter(builder)

        def add(a, lanes):
            factor = e.load(e.address(row, a), lanes)

            def step(t, sums):
                weight, y = e.broadcast(e.address(weights, t)), e.address(ys, builder.mul(t, size))
                slope, r = _slope(e, factor, e.load(e.address(y, a), lanes))
                return [e.fma(weight, slope, sums[0]), e.fma(weight, e.fma(MINUS_TWOS, r, ONES), sums[1])]

            for total, to in zip(e.loop(steps, [ZERO, ZERO], step), (derivatives, tanhs), strict=True):
                e.store(total, e.address(to, a), lanes)

        e.vectors(size, add)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), emit


def _slope(e: Emitter, x, y):
    """``p r²`` and ``r``."""
    p = e.builder.fmul(x, y)
    r = e.reciprocal(e.builder.fadd(p, ONES))
    return e.builder.fmul(e.builder.fmul(p, r), r), r
