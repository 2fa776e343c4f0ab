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
from scratchlv.kernels.building_blocks.threads import n_threads
from scratchlv.memory import as_contiguous

_PREFETCH_DISTANCE = value("softmax_cross_entropy.prefetch_distance")  # floats
_LEAST = constant(float("-inf"))
_WORTH_THREADS = 16_384  # numbers; waking threads for fewer takes longer than they do
Found = types.Tuple((types.float32, types.float64))


def rows_of(x: np.ndarray) -> np.ndarray:
    """(..., V) as (rows, V)."""
    return as_contiguous(x).reshape(-1, x.shape[-1])


def threads_for_rows(rows: np.ndarray) -> int:
    return max(1, min(n_threads(), len(rows))) if rows.size >= _WORTH_THREADS else 1


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
) -> ir.Value:
    """The largest number of the row ``coming``, and Σ e^(x - top) of ``row``: NaN if ``top`` is infinite, or any is NaN.

    ``each(i, lanes, exponentials)`` emits what else is done with the vectors that begin with number i.
    """
    builder, tops = e.builder, e.splat(top)

    def body(i, lanes, values):
        best, total = values
        at = e.address(coming, i)
        e.prefetch(e.address(at, _PREFETCH_DISTANCE), to_write=False)
        exponential = exp_nonpositive_of_vector(e, builder.fsub(e.load(e.address(row, i), lanes), tops))
        each(i, lanes, exponential)
        counted = exponential if lanes is None else builder.select(lanes, exponential, ZERO)
        return [_larger(e, at, lanes, best), builder.fadd(total, counted)]

    (best, total), (other_best, other_total) = e.fold(size, [_LEAST, ZERO], body)
    largest_of_coming = e.largest_lane(e.larger(best, other_best))
    sum_of_row = e.sum_of_lanes(builder.fadd(total, other_total))
    return context.make_tuple(builder, Found, (largest_of_coming, sum_of_row))


def _larger(e: Emitter, address, lanes, best):
    x = e.load(address, lanes)
    return e.larger(x if lanes is None else e.builder.select(lanes, x, _LEAST), best)
