"""Sums over the numbers of regions, four at a time, and over the steps of one: scores and their gradients are made of them.

A sum on its own keeps the machine waiting, for its next term and, at the end, for its lanes to be added up; four that go on side
by side do not. The lanes are added in float64.

Where the factors of p = e^{2k} e^{2q} are given, since the same k meets many q, tanh(k + q) is 1 - 2 r and its slope 4 p r²,
with r = 1 / (1 + p). Where tanh is small, 1 - 2 r has lost its last digits. A score does not need them, nor are they computed
where the factors are not given; over the steps it is (p - 1) r.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, rough_tanh_of_vector, tanh_of_vector
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import I32, I64, ONES, WIDTH, ZERO, Emitter, address, constant

AT_A_TIME = 4
GROUPS_AHEAD = value("additive_attention.groups_ahead")
NEAR = 0.125  #: a key up to which p - 1 is made of e^{2k} - 1
ZERO_WEIGHT = np.float32(0)
SERIES = tuple(1 / math.factorial(n) for n in range(1, 8))  # of (e^x - 1) / x
MINUS_TWOS = constant(-2)
DOUBLE = ir.DoubleType()


@kernel()
def dots_of_rows(rows, y, sums):
    """``sums[l] = rows[l] · y``; ``sums`` (float64) has room for three more than there are rows."""
    L, D = rows.shape
    for first in range(0, L, AT_A_TIME):
        row0, row1, row2, row3 = _four_rows(rows, first)
        _four_dots(row0, row1, row2, row3, address(y), D, address(sums) + 8 * first)


@kernel()
def scores_of_rows(rows, y, v, sums):
    """``sums[l] = Σ_a v[a] (1 - 2 / (1 + rows[l, a] y[a]))``; ``sums`` as in :func:`dots_of_rows`."""
    L, A = rows.shape
    for first in range(0, L, AT_A_TIME):
        row0, row1, row2, row3 = _four_rows(rows, first)
        _four_scores(row0, row1, row2, row3, address(y), address(v), A, address(sums) + 8 * first)


@kernel()
def tanh_scores_of_rows(rows, y, v, sums):
    """``sums[l] = Σ_a v[a] tanh(rows[l, a] + y[a])``; ``sums`` as in :func:`dots_of_rows`."""
    L, A = rows.shape
    for first in range(0, L, AT_A_TIME):
        row0, row1, row2, row3 = _four_rows(rows, first)
        _four_tanh_scores(row0, row1, row2, row3, address(y), address(v), A, address(sums) + 8 * first)


@kernel()
def exact_tanh_scores_of_rows(rows, y, v, sums):
    """:func:`tanh_scores_of_rows` for scores that are wanted themselves: they keep their digits however small they are."""
    L, A = rows.shape
    for first in range(0, L, AT_A_TIME):
        row0, row1, row2, row3 = _four_rows(rows, first)
        _four_exact_tanh_scores(row0, row1, row2, row3, address(y), address(v), A, address(sums) + 8 * first)


@kernel()
def tanh_gradients_of_rows(weights, rows, y, v, drows, dy, dv, nontemporal):
    """The way back of :func:`tanh_scores_of_rows`, from ``weights`` (L,), the gradient of ``sums``; s is tanh(rows[l, a] + y[a]).

    ``drows[l, a] = weights[l] v[a] (1 - s²)``, written around the caches if ``nontemporal``; ``dy[a] = Σ_l drows[l, a]``;
    ``dv[a] = Σ_l weights[l] s``.
    """
    L, A = rows.shape
    size, shared = 4 * A, (address(y), address(v), address(dy), address(dv))
    for a in range(A):
        dy[a] = 0
        dv[a] = 0
    whole = L - L % AT_A_TIME
    for l in range(0, whole, AT_A_TIME):
        at = address(rows) + size * l, address(drows) + size * l, address(weights) + 4 * l
        _four_tanh_gradients(*at, *shared, A, nontemporal)
    for l in range(whole, L):
        at = address(rows) + size * l, address(drows) + size * l, address(weights) + 4 * l
        _tanh_gradients(*at, *shared, A, nontemporal)


@kernel()
def add_tanh_gradients_of_rows(weights, rows, y, v, drows, dy, dv):
    """:func:`tanh_gradients_of_rows` where other queries met the same rows: what it finds is added to ``drows``."""
    L, A = rows.shape
    size, shared = 4 * A, (address(y), address(v), address(dy), address(dv))
    for a in range(A):
        dy[a] = 0
        dv[a] = 0
    whole = L - L % AT_A_TIME
    for l in range(0, whole, AT_A_TIME):
        at = address(rows) + size * l, address(drows) + size * l, address(weights) + 4 * l
        _add_four_tanh_gradients(*at, *shared, A, False)
    for l in range(whole, L):
        at = address(rows) + size * l, address(drows) + size * l, address(weights) + 4 * l
        _add_tanh_gradients(*at, *shared, A, False)


@kernel()
def add_rows(weights, rows, out):
    """``out[d] += Σ_l weights[l] rows[l, d]``."""
    L, D = rows.shape
    whole = L - L % AT_A_TIME
    for l in range(0, whole, AT_A_TIME):
        _add_four_rows(address(weights) + 4 * l, address(rows) + 4 * D * l, D, address(out))
    for l in range(whole, L):
        _add_row(address(weights) + 4 * l, address(rows) + 4 * D * l, D, address(out))


@kernel(fastmath=FLAGS)
def add_derivatives_of_rows(weights, rows, y, derivatives):
    """``derivatives[a] += Σ_l weights[l] p r²``, where p = rows[l, a] y[a]."""
    L, A = rows.shape
    last = L - 1
    for first in range(0, L, AT_A_TIME):
        row0, row1, row2, row3 = _four_rows(rows, first)
        _add_four_derivatives(
            row0,
            row1,
            row2,
            row3,
            weights[first],
            weights[first + 1] if first + 1 <= last else ZERO_WEIGHT,
            weights[first + 2] if first + 2 <= last else ZERO_WEIGHT,
            weights[first + 3] if first + 3 <= last else ZERO_WEIGHT,
            address(y),
            A,
            address(derivatives),
        )


@kernel()
def derivatives_over_steps(weights, key, row, ys, ys_less_1, derivatives, tanhs):
    """``derivatives[a] = Σ_t weights[t] p r²`` and ``tanhs[a] = Σ_t weights[t] (p - 1) r``, where p = row[a] ys[t, a].

    Where |key[a]| is at most :data:`NEAR`, row[a] is e^{2 key[a]}, and p - 1 = row[a] ys_less_1[t, a] + (e^{2 key[a]} - 1): that
    is exact however small it is. Elsewhere tanh is small only where key and query cancel, and p - 1 is taken as it stands.
    """
    T, A = ys.shape
    rows, queries = (address(key), address(row)), (address(ys), address(ys_less_1))
    _derivatives_over_steps(address(weights), T, *rows, *queries, A, address(derivatives), address(tanhs))


@kernel()
def _four_rows(rows, first):
    """The addresses of four rows; one that is not there is read as the last one."""
    size, last = 4 * rows.shape[1], rows.shape[0] - 1
    start = address(rows)
    return (
        start + size * first,
        start + size * min(first + 1, last),
        start + size * min(first + 2, last),
        start + size * min(first + 3, last),
    )


def _four_sums(builder: ir.IRBuilder, rows, shared, size, sums, add) -> None:
    """Emit ``sums[i] = Σ add(vector of row i, vectors of the shared rows, sum so far)``, all given by their addresses.

    Past the end of a row all vectors are 0: ``add`` must then add 0.
    """
    e = Emitter(builder)
    load = _load_of_rows(e, rows, size)

    def body(at, lanes, totals):
        common = [e.load(e.address(base, at), lanes) for base in shared]
        return [add(e, row, *common, sum) for row, sum in zip(load(at, lanes), totals, strict=True)]

    totals = e.accumulate(size, [ZERO] * AT_A_TIME, body)
    for i, total in enumerate(totals):
        pointer = builder.inttoptr(builder.add(sums, I64(8 * i)), DOUBLE.as_pointer())
        builder.store(_sum_of_lanes(builder, total), pointer)


def _load_of_rows(e: Emitter, rows, size):
    """``load(at, lanes)`` emits loads of a vector of each row of a group, and asks for those of a group to come.

    A row is too short for the processor to foresee what follows it.
    """
    ahead = e.builder.mul(size, I64(AT_A_TIME * GROUPS_AHEAD))
    to_come = [e.address(row, ahead) for row in rows]

    def load(at, lanes=None):
        for row in to_come:
            e.prefetch(e.address(row, at), to_write=False)
        return [e.load(e.address(row, at), lanes) for row in rows]

    return load


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
def _four_dots(typing_context, row0, row1, row2, row3, y, size, sums):
    def emit(context, builder, signature, arguments):
        *rows, y, size, sums = arguments
        _four_sums(builder, rows, [y], size, sums, lambda e, row, y, total: e.fma(row, y, total))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), emit


@intrinsic
def _four_scores(typing_context, row0, row1, row2, row3, y, v, size, sums):
    def emit(context, builder, signature, arguments):
        *rows, y, v, size, sums = arguments

        def add(e, row, y, v, total):
            r = e.reciprocal(e.fma(row, y, ONES))
            return e.fma(v, e.fma(MINUS_TWOS, r, ONES), total)

        _four_sums(builder, rows, [y, v], size, sums, add)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit


@intrinsic
def _four_tanh_scores(typing_context, row0, row1, row2, row3, y, v, size, sums):
    def emit(context, builder, signature, arguments):
        *rows, y, v, size, sums = arguments

        def add(e, row, y, v, total):
            return e.fma(v, rough_tanh_of_vector(e, builder.fadd(row, y)), total)

        _four_sums(builder, rows, [y, v], size, sums, add)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit


@intrinsic
def _four_exact_tanh_scores(typing_context, row0, row1, row2, row3, y, v, size, sums):
    def emit(context, builder, signature, arguments):
        *rows, y, v, size, sums = arguments
        add = lambda e, row, y, v, total: e.fma(v, tanh_of_vector(e, builder.fadd(row, y)), total)  # noqa: E731
        _four_sums(builder, rows, [y, v], size, sums, add)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit


def _tanh_gradients_of(count: int, more: bool = False):
    """The intrinsic for :func:`tanh_gradients_of_rows`, of ``count`` adjacent rows: sums are read and written once for all.

    With ``more`` the gradients of the rows are added to what is there.
    """

    @intrinsic
    def gradients(typing_context, rows, drows, weights, y, v, dy, dv, size, nontemporal):
        def emit(context, builder, signature, arguments):
            rows, drows, weights, y, v, dy, dv, size, nontemporal = arguments
            e = Emitter(builder)
            weight_of, places = _weights(e, weights, count), _adjacent(e, drows, size, count)
            load = _load_of_rows(e, _adjacent(e, rows, size, count), size)

            def add(a, lanes):
                q, factor, dq, sum = (e.load(e.address(base, a), lanes) for base in (y, v, dy, dv))
                for weight, row, place in zip(weight_of, load(a, lanes), places, strict=True):
                    s = tanh_of_vector(e, builder.fadd(row, q))
                    slope = e.fma(builder.fneg(s), s, ONES)
                    gradient = builder.fmul(builder.fmul(weight, factor), slope)
                    if more:
                        there = e.address(place, a)
                        e.store(builder.fadd(e.load(there, lanes), gradient), there, lanes)
                    else:
                        e.store_nontemporal(gradient, e.address(place, a), nontemporal, lanes)
                    sum, dq = e.fma(weight, s, sum), builder.fadd(dq, gradient)
                e.store(dq, e.address(dy, a), lanes)
                e.store(sum, e.address(dv, a), lanes)

            e.vectors(size, add)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8, types.boolean), emit

    return gradients


_tanh_gradients, _four_tanh_gradients = _tanh_gradients_of(1), _tanh_gradients_of(AT_A_TIME)
_add_tanh_gradients, _add_four_tanh_gradients = (_tanh_gradients_of(count, True) for count in (1, AT_A_TIME))


def _add_rows_of(count: int):
    """The intrinsic for :func:`add_rows`, of ``count`` adjacent rows."""

    @intrinsic
    def add_rows(typing_context, weights, rows, size, out):
        def emit(context, builder, signature, arguments):
            weights, rows, size, out = arguments
            e = Emitter(builder)
            weight_of, load = _weights(e, weights, count), _load_of_rows(e, _adjacent(e, rows, size, count), size)

            def add(d, lanes):
                total = e.load(e.address(out, d), lanes)
                for weight, row in zip(weight_of, load(d, lanes), strict=True):
                    total = e.fma(weight, row, total)
                e.store(total, e.address(out, d), lanes)

            e.vectors(size, add)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), emit

    return add_rows


_add_row, _add_four_rows = _add_rows_of(1), _add_rows_of(AT_A_TIME)


def _weights(e: Emitter, weights, count: int):
    """``count`` numbers from an address on, each in every lane."""
    return [e.broadcast(e.address(weights, i)) for i in range(count)]


def _adjacent(e: Emitter, rows, size, count: int):
    """The addresses of ``count`` adjacent rows of ``size`` floats."""
    return [e.address(rows, e.builder.mul(size, I64(i))) for i in range(count)]


@intrinsic
def _add_four_derivatives(typing_context, row0, row1, row2, row3, w0, w1, w2, w3, y, size, derivatives):
    def emit(context, builder, signature, arguments):
        rows, weights, (y, size, derivatives) = arguments[:4], arguments[4:8], arguments[8:]
        e = Emitter(builder)
        weights, load = [e.splat(weight) for weight in weights], _load_of_rows(e, rows, size)

        def add(a, lanes):
            factor, total = (e.load(e.address(base, a), lanes) for base in (y, derivatives))
            for row, weight in zip(load(a, lanes), weights, strict=True):
                p, r = _product_and_r(e, row, factor)
                total = e.fma(weight, builder.fmul(builder.fmul(p, r), r), total)
            e.store(total, e.address(derivatives, a), lanes)

        e.vectors(size, add)
        return context.get_dummy_value()

    numbers = [types.int64] * 4 + [types.float32] * 4 + [types.int64] * 3
    return types.void(*numbers), emit


@intrinsic
def _derivatives_over_steps(typing_context, weights, steps, key, row, ys, ys_less_1, size, derivatives, tanhs):
    def emit(context, builder, signature, arguments):
        weights, steps, key, row, ys, ys_less_1, size, derivatives, tanhs = arguments
        e = Emitter(builder)

        def add(a, lanes):
            k, factor = (e.load(e.address(base, a), lanes) for base in (key, row))
            near = builder.fcmp_ordered("<=", builder.fmul(k, k), constant(NEAR**2))
            less_1 = builder.select(near, _exp_less_1(e, builder.fadd(k, k)), constant(-1))

            def step(t, sums):
                weight, at = e.broadcast(e.address(weights, t)), builder.add(builder.mul(t, size), a)
                y, y_less_1 = (e.load(e.address(base, at), lanes) for base in (ys, ys_less_1))
                p, r = _product_and_r(e, factor, y)
                p_less_1 = e.fma(factor, builder.select(near, y_less_1, y), less_1)
                slope, tanh = builder.fmul(builder.fmul(p, r), r), builder.fmul(p_less_1, r)
                return [e.fma(weight, slope, sums[0]), e.fma(weight, tanh, sums[1])]

            for total, to in zip(e.loop(steps, [ZERO, ZERO], step), (derivatives, tanhs), strict=True):
                e.store(total, e.address(to, a), lanes)

        e.vectors(size, add)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9), emit


def _product_and_r(e: Emitter, x, y):
    """p = x y and r = 1 / (1 + p)."""
    p = e.builder.fmul(x, y)
    return p, e.reciprocal(e.builder.fadd(p, ONES))


def _exp_less_1(e: Emitter, x):
    """e^x - 1 of |x| <= 2 NEAR, by its series."""
    return e.builder.fmul(x, e.polynomial(x, SERIES))
