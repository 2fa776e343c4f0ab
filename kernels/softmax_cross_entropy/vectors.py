"""What sweeps over rows of scores are made of, as vector code; log_softmax and softmax share it.

A softmax needs its row's maximum before the first exponential, and the sum of all before the first result. Done one after
the other these wait by turns: for memory, for arithmetic, for memory. So three rows are at work at a time, in one loop: the
next one is read from memory for its maximum, the exponentials of this one are summed up, and the results of the one before
are written. What lies between waits in the second-level cache.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.fast_math import exp_nonpositive_of_vector
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import ZERO, Emitter, constant
from scratchlv.kernels.building_blocks.threads import waking, worth_waking
from scratchlv.memory import as_contiguous

_PREFETCH_DISTANCE = value("softmax_cross_entropy.prefetch_distance")  # floats
_LEAST = constant(float("-inf"))
Found = types.Tuple((types.float32, types.float64))
WeightedToo = types.Tuple((types.float32, types.float64, types.float64))


def rows_of(x: np.ndarray) -> np.ndarray:
    """(..., V) as (rows, V)."""
    return as_contiguous(x).reshape(-1, x.shape[-1])


def waking_for(rows: np.ndarray) -> waking:
    """The threads of a sweep over rows, which are not divided."""
    return worth_waking(rows.size) if len(rows) > 1 else waking(False)


def sum_of_fold(e: Emitter, size: ir.Value, body: Callable[..., list[ir.Value]]) -> ir.Value:
    """The sum, in float64, of the lanes of one vector that ``body(i, lanes, values)`` adds to (:meth:`Emitter.fold`)."""
    (even,), (odd,) = e.fold(size, [ZERO], body)
    return e.sum_of_lanes(e.builder.fadd(even, odd))


@intrinsic
def largest(typing_context, row, size):
    """The largest of ``size`` floats at an address, NaN aside."""

    def emit(context, builder, signature, arguments):
        row, size = arguments
        e = Emitter(builder)
        (even,), (odd,) = e.fold(size, [_LEAST], lambda i, lanes, best: [_larger(e, e.address(row, i), lanes, *best)])
        return e.largest_lane(e.larger(even, odd))

    return types.float32(types.int64, types.int64), emit


@intrinsic
def smoothed_rows(
    typing_context, coming, row, top, exponentials, past, factor, others, weights, out, size, train, nontemporal
):
    """:func:`cross_entropy_rows` where labels are smoothed: every class v has a share in what is to be hit.

    Σ w_v (x_v - top) of ``row`` as well, w being the floats at ``weights``; and of the row before ``factor`` times its
    exponentials less ``others`` w_v.
    """

    def emit(context, builder, signature, arguments):
        coming, row, top, exponentials, past, factor, others, weights, out, size, train, nontemporal = arguments
        e = Emitter(builder)
        factor, others = e.splat(factor), e.splat(others)

        def each(i, lanes, exponential):
            with builder.if_then(train):
                e.store(exponential, e.address(exponentials, i), lanes)
                taken = builder.fmul(e.load(e.address(weights, i), lanes), others)
                result = builder.fsub(builder.fmul(e.load(e.address(past, i), lanes), factor), taken)
                e.store_nontemporal(result, e.address(out, i), nontemporal, lanes)

        return three_rows(context, e, coming, row, top, size, each, weights)

    vectors = (types.int64, types.int64, types.float32, types.int64, types.int64, types.float32, types.float32)
    return WeightedToo(*vectors, types.int64, types.int64, types.int64, types.boolean, types.boolean), emit


@intrinsic
def cross_entropy_rows(typing_context, coming, row, top, exponentials, past, factor, out, size, train, nontemporal):
    """Of the row ``coming`` (an address, as the others) the largest number; of ``row`` the sum of e^(x - top).

    With ``train`` these are written to ``exponentials``, and ``factor`` times those of the row before, ``past``, to ``out``.
    """

    def emit(context, builder, signature, arguments):
        coming, row, top, exponentials, past, factor, out, size, train, nontemporal = arguments
        e = Emitter(builder)
        factor = e.splat(factor)

        def each(i, lanes, exponential):
            with builder.if_then(train):
                e.store(exponential, e.address(exponentials, i), lanes)
                result = builder.fmul(e.load(e.address(past, i), lanes), factor)
                e.store_nontemporal(result, e.address(out, i), nontemporal, lanes)

        return three_rows(context, e, coming, row, top, size, each)

    addresses = types.int64, types.int64
    return Found(*addresses, types.float32, *addresses, types.float32, *addresses, types.boolean, types.boolean), emit


def three_rows(
    context: Any,
    e: Emitter,
    coming: ir.Value,
    row: ir.Value,
    top: ir.Value,
    size: ir.Value,
    each: Callable[..., None],
    weights: ir.Value | None = None,
) -> ir.Value:
    """The largest number of the row ``coming``, and Σ e^(x - top) of ``row``: NaN if ``top`` is infinite, or any is NaN.

    ``each(i, lanes, exponentials)`` emits what else is done with the vectors that begin with number i. With ``weights``, the
    address of as many floats, Σ weights (x - top) comes third.
    """
    builder, tops = e.builder, e.splat(top)

    def body(i, lanes, values):
        best, total, *weighted = values
        at = e.address(coming, i)
        e.prefetch(e.address(at, _PREFETCH_DISTANCE), to_write=False)
        below = builder.fsub(e.load(e.address(row, i), lanes), tops)
        exponential = exp_nonpositive_of_vector(e, below)
        each(i, lanes, exponential)
        counted = exponential if lanes is None else builder.select(lanes, exponential, ZERO)
        found = [_larger(e, at, lanes, best), builder.fadd(total, counted)]
        if weights is None:
            return found
        more = builder.fmul(e.load(e.address(weights, i), lanes), below)
        return [*found, builder.fadd(weighted[0], more if lanes is None else builder.select(lanes, more, ZERO))]

    start = [_LEAST, ZERO] if weights is None else [_LEAST, ZERO, ZERO]
    (best, *sums), (other_best, *other_sums) = e.fold(size, start, body)
    largest_of_coming = e.largest_lane(e.larger(best, other_best))
    of_row = [e.sum_of_lanes(builder.fadd(one, other)) for one, other in zip(sums, other_sums, strict=True)]
    return context.make_tuple(builder, Found if weights is None else WeightedToo, (largest_of_coming, *of_row))


def _larger(e: Emitter, address, lanes, best):
    x = e.load(address, lanes)
    return e.larger(x if lanes is None else e.builder.select(lanes, x, _LEAST), best)
