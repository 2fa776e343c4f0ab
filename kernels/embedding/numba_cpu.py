"""Embedding on the CPU: rows are copied in parallel, and each thread adds up the gradients of its own rows of W."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import I64, WIDTH, ZERO, Emitter, address, fence, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import new_counter, next_item, pieces, share, worth_waking
from scratchlv.kernels.embedding.reference import check_tokens
from scratchlv.memory import as_contiguous, empty

_WORTH_KERNEL = 16_384  # numbers; fewer NumPy has copied sooner
_PREFETCH_DISTANCE = value("embedding.prefetch_rows")  # one that will be read so many rows later is asked for
_BLOCK = 4  # vectors of a row that are added, and so many sums wait in registers


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
    if tokens.size * E < _WORTH_KERNEL:
        y = W[tokens]
    else:
        y = empty((*tokens.shape, E))
        with worth_waking(y.size) as threads:
            _gather(tokens.reshape(-1), as_contiguous(W), y.reshape(-1, E), wants_nontemporal(y), threads)
    return y, Cache(tokens, V) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    """``dW`` (V, E); ``dy`` is (..., E)."""
    tokens, V = cache
    E = dy.shape[-1]
    dW = empty((V, E))
    if not dy.size:
        dW.fill(0)
        return (dW,)
    ends, positions = empty(V, np.int64), empty(tokens.size + _PREFETCH_DISTANCE, np.int64)
    dy = as_contiguous(dy, np.float32).reshape(-1, E)
    with worth_waking(dy.size + dW.size) as threads:
        _scatter_add(tokens.reshape(-1), dy, dW, ends, positions, wants_nontemporal(dW), threads)
    return (dW,)


@kernel(parallel=True)
def _gather(tokens, W, y, nontemporal, threads):
    T, E = y.shape
    counter, n = new_counter(), pieces(T, threads)
    for _ in prange(threads):
        piece = next_item(counter)
        while piece < n:
            first, last = share(T, piece, n)
            for i in range(first, last):
                asked_for = tokens[min(i + _PREFETCH_DISTANCE, T - 1)]
                copy_row(address(W[tokens[i]]), address(W[asked_for]), address(y[i]), E, nontemporal)
            piece = next_item(counter)
        if nontemporal:
            fence()


@kernel(parallel=True)
def _scatter_add(tokens, dy, dW, ends, positions, nontemporal, threads):
    # A row has one thread, which adds in the order of the tokens: no atomics, one result.
    V, E = dW.shape
    _sort_positions(tokens, ends, positions)
    counter, n = new_counter(), pieces(V, threads)
    for _ in prange(threads):
        piece = next_item(counter)
        while piece < n:
            first, last = _with_work(ends, piece, n), _with_work(ends, piece + 1, n)
            begin = ends[first - 1] if first else 0
            for v in range(first, last):
                sum_rows(address(dy), address(positions) + 8 * begin, ends[v] - begin, address(dW[v]), E, nontemporal)
                begin = ends[v]
            piece = next_item(counter)
        if nontemporal:
            fence()


@njit(inline="always")
def _with_work(ends, piece, pieces):
    """The first row of a piece, of as many that are as much work: a row is written, and those that are added to it are read."""
    V = ends.size
    work = (V + ends[V - 1]) * piece // pieces
    low, high = 0, V
    while low < high:
        v = (low + high) // 2
        if v + 1 + ends[v] <= work:
            low = v + 1
        else:
            high = v
    return low


@kernel()
def _sort_positions(tokens, ends, positions):
    """Write the positions of the tokens 0, 1, … to ``positions``, those of v up to ``ends[v]``; equal tokens keep their order.

    What is left of ``positions`` are positions, too: they may be asked for.
    """
    for v in range(ends.size):
        ends[v] = 0
    for i in range(tokens.size):
        ends[tokens[i]] += 1
    n = 0
    for v in range(ends.size):
        count = ends[v]
        ends[v] = n
        n += count
    for i in range(tokens.size):
        v = tokens[i]
        positions[ends[v]] = i
        ends[v] += 1
    for i in range(n, positions.size):
        positions[i] = 0


@intrinsic
def copy_row(typing_context, row, asked_for, to, size, nontemporal):
    """Copy ``size`` floats from one address to another; those at a third one are asked for."""

    def emit(context, builder, signature, arguments):
        row, asked_for, to, size, nontemporal = arguments
        e = Emitter(builder)

        def body(vectors) -> None:
            for i, lanes in vectors:
                e.prefetch(e.address(asked_for, i), to_write=False)
                e.store_nontemporal(e.load(e.address(row, i), lanes), e.address(to, i), nontemporal, lanes)

        _blocks(e, size, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.boolean), emit


@intrinsic
def sum_rows(typing_context, rows, positions, count, to, size, nontemporal):
    """Write the sum of ``count`` rows of ``size`` floats, zeros if there are none, ``to`` an address.

    ``rows`` is the address of row 0, ``positions`` of the numbers of those that are added. While one is, another is asked for.
    """

    def emit(context, builder, signature, arguments):
        rows, positions, count, to, size, nontemporal = arguments
        e = Emitter(builder)

        def body(vectors) -> None:
            def row(n):
                position = e.load_word(builder.add(positions, builder.shl(n, I64(3))))
                return e.address(rows, builder.mul(position, size))

            def add(n, sums):
                added, asked_for = row(n), row(builder.add(n, I64(_PREFETCH_DISTANCE)))
                for i, _ in vectors:
                    e.prefetch(e.address(asked_for, i), to_write=False)
                numbers = [e.load(e.address(added, i), lanes) for i, lanes in vectors]
                return [builder.fadd(total, x) for total, x in zip(sums, numbers, strict=True)]

            sums = e.loop(count, [ZERO] * len(vectors), add)
            for (i, lanes), total in zip(vectors, sums, strict=True):
                e.store_nontemporal(total, e.address(to, i), nontemporal, lanes)

        _blocks(e, size, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.boolean), emit


def _blocks(e: Emitter, size, body) -> None:
    """Emit ``body([(i, lanes), …])`` for the vectors that ``size`` numbers make: for four at a time, then one by one."""
    builder = e.builder
    blocks = builder.sdiv(size, I64(_BLOCK * WIDTH))

    def block(b, values):
        first = builder.mul(b, I64(_BLOCK * WIDTH))
        body([(builder.add(first, I64(j * WIDTH)), None) for j in range(_BLOCK)])
        return values

    e.loop(blocks, [], block)
    done = builder.mul(blocks, I64(_BLOCK * WIDTH))
    e.vectors(builder.sub(size, done), lambda i, lanes: body([(builder.add(done, i), lanes)]))
