"""Embedding on the CPU: rows are copied in parallel, and each thread adds up the gradients of its own rows of W."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.memory import as_contiguous, empty, past_caches
from scratchlv.kernels.building_blocks.simd import I64, ZERO, Emitter, address, fence
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.embedding.reference import check_tokens

_WORTH_THREADS = 16_384  # numbers; waking threads for fewer takes longer than copying them
_AHEAD = 2  # rows: one that will be read so many later is asked for


class Cache(NamedTuple):
    tokens: np.ndarray  # (...) int64
    rows: int  # V


def limits(tokens: Any, W: Any, *, train: bool = True) -> str | None:
    """Why these arrays cannot be served, or None."""
    if not isinstance(W, np.ndarray):
        return "W is not a NumPy array"
    if W.dtype != np.float32:
        return f"W is {W.dtype}; it computes in float32"
    return None


def forward(tokens: np.ndarray, W: np.ndarray, *, train: bool = True) -> tuple[np.ndarray, Cache | None]:
    """``y = W[tokens]``: ``tokens`` (...) of integers in [0, V), ``W`` (V, E); ``y`` is (..., E)."""
    V, E = W.shape
    tokens = as_contiguous(check_tokens(tokens, V), np.int64)
    if tokens.size * E < _WORTH_THREADS:
        y = W[tokens]
    else:
        y = empty((*tokens.shape, E))
        _gather(tokens.reshape(-1), as_contiguous(W), y.reshape(-1, E), past_caches(y), n_threads())
    return y, Cache(tokens, V) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    """``dW`` (V, E); ``dy`` is (..., E)."""
    tokens, V = cache
    E = dy.shape[-1]
    dW, threads = empty((V, E)), n_threads()
    if not dy.size:
        dW.fill(0)
        return (dW,)
    ends, places = empty(V, np.int64), empty((threads, tokens.size + 1), np.int64)
    dy = as_contiguous(dy, np.float32).reshape(-1, E)
    _scatter_add(tokens.reshape(-1), dy, dW, ends, places, past_caches(dW), threads)
    return (dW,)


@kernel(parallel=True)
def _gather(tokens, W, y, past, threads):
    E = W.shape[1]
    for thread in prange(threads):
        first, last = share(len(tokens), thread, threads)
        for i in range(first, last):
            ahead = address(W) + 4 * E * tokens[min(i + _AHEAD, last - 1)]
            sum_rows(address(W), address(tokens) + 8 * i, 1, ahead, address(y) + 4 * E * i, E, past)
        if past:
            fence()


@kernel(parallel=True)
def _scatter_add(tokens, dy, dW, ends, places, past, threads):
    # Two threads never share a row, and each adds in the order of the tokens: no atomics, one result.
    V, E = dW.shape
    for thread in prange(threads):
        first, last = share(V, thread, threads)
        found = places[thread]
        n = _sort_places(tokens, first, ends[first:last], found)
        begin = 0
        for v in range(first, last):
            end = ends[v]
            ahead = address(dy) + 4 * E * found[min(end + _AHEAD - 1, n)]
            sum_rows(address(dy), address(found) + 8 * begin, end - begin, ahead, address(dW) + 4 * E * v, E, past)
            begin = end
        if past:
            fence()


@kernel()
def _sort_places(tokens, first, ends, found):
    """Write the places of the tokens ``first``, ``first + 1``, … to ``found``, those of ``first + v`` up to ``ends[v]``.

    Returns how many there are; the number after them is a place, too. Equal tokens keep their order.
    """
    for v in range(ends.size):
        ends[v] = 0
    for i in range(tokens.size):
        v = tokens[i] - first
        if 0 <= v < ends.size:
            ends[v] += 1
    n = 0
    for v in range(ends.size):
        count = ends[v]
        ends[v] = n
        n += count
    for i in range(tokens.size):
        v = tokens[i] - first
        if 0 <= v < ends.size:
            found[ends[v]] = i
            ends[v] += 1
    found[n] = 0
    return n


@intrinsic
def sum_rows(typing_context, rows, places, count, ahead, to, size, past):
    """Write the sum of ``count`` rows, zeros if there are none, ``to`` an address: rows of ``size`` floats, by their ``places``.

    The first place must name a row even if none is to be added. The row at the address ``ahead`` is asked for.
    """

    def emit(context, builder, signature, arguments):
        rows, places, count, ahead, to, size, past = arguments
        e = Emitter(builder)
        none = builder.icmp_signed("==", count, I64(0))

        def body(i, lanes) -> None:
            def row(n):
                place = e.load_word(builder.add(places, builder.shl(n, I64(3))))
                return e.load(e.address(rows, builder.add(builder.mul(place, size), i)), lanes)

            e.prefetch(e.address(ahead, i), to_write=False)
            start = builder.select(none, ZERO, row(I64(0)))
            rest = builder.sub(count, I64(1))
            (total,) = e.loop(rest, [start], lambda n, sums: [builder.fadd(sums[0], row(builder.add(n, I64(1))))])
            e.store_past_caches(total, e.address(to, i), past, lanes)

        e.vectors(size, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, types.boolean), emit
