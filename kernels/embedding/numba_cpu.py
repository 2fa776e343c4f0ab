"""Embedding on the CPU: rows are copied in parallel, and each thread adds up the gradients of its own rows of W."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.simd import I64, ZERO, Emitter, address, fence, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.embedding.reference import check_tokens
from scratchlv.memory import as_contiguous, empty

_WORTH_THREADS = 16_384  # numbers; waking threads for fewer takes longer than copying them
_PREFETCH_DISTANCE = 2  # rows: one that will be read so many later is asked for


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
        _gather(tokens.reshape(-1), as_contiguous(W), y.reshape(-1, E), wants_nontemporal(y), n_threads())
    return y, Cache(tokens, V) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    """``dW`` (V, E); ``dy`` is (..., E)."""
    tokens, V = cache
    E = dy.shape[-1]
    dW, threads = empty((V, E)), n_threads()
    if not dy.size:
        dW.fill(0)
        return (dW,)
    ends, positions = empty(V, np.int64), empty((threads, tokens.size + 1), np.int64)
    dy = as_contiguous(dy, np.float32).reshape(-1, E)
    _scatter_add(tokens.reshape(-1), dy, dW, ends, positions, wants_nontemporal(dW), threads)
    return (dW,)


@kernel(parallel=True)
def _gather(tokens, W, y, nontemporal, threads):
    E = W.shape[1]
    for thread in prange(threads):
        first, last = share(len(tokens), thread, threads)
        for i in range(first, last):
            prefetched = address(W) + 4 * E * tokens[min(i + _PREFETCH_DISTANCE, last - 1)]
            sum_rows(address(W), address(tokens) + 8 * i, 1, prefetched, address(y) + 4 * E * i, E, nontemporal)
        if nontemporal:
            fence()


@kernel(parallel=True)
def _scatter_add(tokens, dy, dW, ends, positions, nontemporal, threads):
    # Two threads never share a row, and each adds in the order of the tokens: no atomics, one result.
    V, E = dW.shape
    for thread in prange(threads):
        first, last = share(V, thread, threads)
        found = positions[thread]
        n = _sort_positions(tokens, first, ends[first:last], found)
        begin = 0
        for v in range(first, last):
            end = ends[v]
            prefetched = address(dy) + 4 * E * found[min(end + _PREFETCH_DISTANCE - 1, n)]
            sum_rows(
                address(dy),
                address(found) + 8 * begin,
                end - begin,
                prefetched,
                address(dW) + 4 * E * v,
                E,
                nontemporal,
            )
            begin = end
        if nontemporal:
            fence()


@kernel()
def _sort_positions(tokens, first, ends, found):
    """Write the positions of the tokens ``first``, ``first + 1``, … to ``found``, those of ``first + v`` up to ``ends[v]``.

    Returns how many there are; the number after them is a position, too. Equal tokens keep their order.
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
def sum_rows(typing_context, rows, positions, count, prefetched, to, size, nontemporal):
    """Write the sum of ``count`` rows, zeros if there are none, ``to`` an address: rows of ``size`` floats, by ``positions``.

    The first position must name a row even if none is to be added. The row at the address ``prefetched`` is asked for.
    """

    def emit(context, builder, signature, arguments):
        rows, positions, count, prefetched, to, size, nontemporal = arguments
        e = Emitter(builder)
        none = builder.icmp_signed("==", count, I64(0))

        def body(i, lanes) -> None:
            def row(n):
                position = e.load_word(builder.add(positions, builder.shl(n, I64(3))))
                return e.load(e.address(rows, builder.add(builder.mul(position, size), i)), lanes)

            e.prefetch(e.address(prefetched, i), to_write=False)
            start = builder.select(none, ZERO, row(I64(0)))
            rest = builder.sub(count, I64(1))
            (total,) = e.loop(rest, [start], lambda n, sums: [builder.fadd(sums[0], row(builder.add(n, I64(1))))])
            e.store_nontemporal(total, e.address(to, i), nontemporal, lanes)

        e.vectors(size, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, types.boolean), emit
