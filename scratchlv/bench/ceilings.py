"""What the machine can reach: float32 operations in a second, and bytes in a second from memory and from its caches."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.bench.timing import time_calls
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.processor import caches
from scratchlv.kernels.building_blocks.simd import (
    I1,
    I32,
    I64,
    REGISTERS,
    WIDTH,
    ZERO,
    Emitter,
    address,
    constant,
    fence,
    scale,
)
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.memory import CACHE_LINE

_SUMS = REGISTERS - 4  # independent, so that none waits for the one before; the rest holds the two factors
_ROWS = 14 if REGISTERS == 32 else 6  # of a tile of a product, two vectors wide
_DEPTH = 64  # terms of that product, whose operands stay in the first-level cache
_ROUNDS = 200_000  # multiply-adds on each sum, a multiple of _DEPTH
_MEBI = 1 << 20
_IN_CACHE = tuple(size * _MEBI // 4 for size in (1, 4, 16, 64, 128, 256, 512))  # bytes that a copy moves
_SECONDS = 0.3  # for the peak and for memory; the best counts, for a ceiling is what can be reached
_SECONDS_IN_CACHE = 0.1  # for each pattern at each size
_MOST = 512 * _MEBI  # bytes of an array, however large the cache


class Ceilings(NamedTuple):
    """``peak`` in operations a second; the rest in bytes a second: ``memory`` by pattern, ``caches`` by the bytes moved
    and the pattern.

    The patterns are *read* (Σ a), *copy* (a = b), *triad* (a = b + s c) and *update* (a = s a). Bytes read and bytes written
    count. To write what it has not read a core must first fetch it, which does not count: so update is quicker than triad, and
    than a copy that does not go past the caches. Copy and triad are tried both ways, as kernels do both.
    """

    peak: float
    memory: dict[str, float]
    caches: dict[int, dict[str, float]]

    @property
    def best_memory(self) -> float:
        """Of the patterns, through arrays that no cache holds."""
        return max(self.memory.values())

    def bandwidth(self, size: float, pattern: str | None = None) -> float:
        """For work on ``size`` bytes: what was measured at the next smaller size, as a cache may hold so much.

        It is that of the ``pattern``, or of the best of them.
        """
        if size > last_level_cache():
            by_pattern = [self.memory]
        else:
            by_pattern = [speeds for moved, speeds in self.caches.items() if moved <= size][-1:]
        known = by_pattern or [self.memory, *self.caches.values()]
        return max(max(speeds.values()) if pattern is None else speeds[pattern] for speeds in known)

    def least_seconds(self, operations: float, size: float) -> float:
        """The time of a call that runs at the ceiling: operations / min(peak, intensity × bandwidth)."""
        return max(operations / self.peak, size / self.bandwidth(size))

    def better(self, other: Ceilings) -> Ceilings:
        """Of two measurements, the higher: neither can have been more than the machine can do."""
        caches = {size: _higher(speeds, other.caches[size]) for size, speeds in self.caches.items()}
        return Ceilings(max(self.peak, other.peak), _higher(self.memory, other.memory), caches)

    def to_json(self) -> dict[str, Any]:
        """In GFLOP/s and GB/s."""
        return {
            "peak_gflops": self.peak / 1e9,
            "memory_gbs": self.best_memory / 1e9,
            "memory_gbs_by_pattern": _in_giga(self.memory),
            "cache_gbs_by_bytes": {str(size): max(speeds.values()) / 1e9 for size, speeds in self.caches.items()},
            "cache_gbs_by_pattern": {str(size): _in_giga(speeds) for size, speeds in self.caches.items()},
        }


def _higher(speeds: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {pattern: max(speed, other[pattern]) for pattern, speed in speeds.items()}


def _in_giga(speeds: dict[str, float]) -> dict[str, float]:
    return {pattern: speed / 1e9 for pattern, speed in speeds.items()}


def measure(most: int = _MOST, work: Collection[float] = ()) -> Ceilings:
    """Measure them, with the threads that kernels use now, through arrays of at most ``most`` bytes; about six seconds.

    If the bytes that passes move are known, ``work``, of the caches only those are measured that such work fits: three seconds.
    """
    size = min(most, max(64 * _MEBI, 4 * last_level_cache()))
    a, b, c = (_ones(size // 4) for _ in range(3))
    levels = [moved for moved in _IN_CACHE if moved <= min(last_level_cache(), 2 * size)]
    if work and levels and min(work) >= levels[0]:  # of smaller work the fastest of all is the ceiling
        fits = {max(moved for moved in levels if moved <= each) for each in work if each <= last_level_cache()}
        levels = sorted(fits)
    caches = {
        moved: bandwidths(*(array[: moved // 8] for array in (a, b, c)), seconds=_SECONDS_IN_CACHE) for moved in levels
    }
    return Ceilings(peak(), bandwidths(a, b, c, seconds=_SECONDS), caches)


def peak() -> float:
    """Operations a second, with the threads that kernels use now: the best of two kernels.

    One multiplies registers, as many independent sums as there are registers for; the other is the inner loop of a matrix
    product, which loads its operands from the first-level cache. The clock moves, and with it the peak: who compares with a
    ceiling measures it more than once.
    """
    threads = n_threads()
    best = 0.0
    for multiply, numbers, sums in (
        (_multiply_add, (_SUMS + 2) * WIDTH, _SUMS),
        (_multiply_tile, _DEPTH * (_ROWS + 2 * WIDTH) + 2 * _ROWS * WIDTH, 2 * _ROWS),
    ):
        work = np.full((threads, numbers), 1e-3, np.float32)
        best = max(best, _speed(multiply, 2.0 * threads * _ROUNDS * sums * WIDTH, _SECONDS, work))
    return best


def bandwidths(a: np.ndarray, b: np.ndarray, c: np.ndarray, *, seconds: float) -> dict[str, float]:
    """Bytes a second by pattern, on arrays of one size that begin at cache lines; ``a`` and ``b`` are written."""
    sums, size = np.empty(n_threads()), 4.0 * a.size
    return {
        "read": _speed(_read, size, seconds, a, sums),
        "copy": max(_speed(copy, 2 * size, seconds, b, a) for copy in (_copy, _copy_past_caches)),
        "triad": max(_speed(triad, 3 * size, seconds, b, c, a) for triad in (_triad, _triad_past_caches)),
        "update": _speed(_update, 2 * size, seconds, a),
    }


def _speed(kernel: Any, count: float, seconds: float, *arrays: np.ndarray) -> float:
    threads = n_threads()
    kernel(*arrays, threads)  # compiled, and its pages are there
    return count / time_calls(lambda: kernel(*arrays, threads), seconds=seconds).least


def _ones(n: int) -> np.ndarray:
    """An array that begins at a cache line."""
    array = np.ones(n + CACHE_LINE // 4, np.float32)
    first = -array.ctypes.data % CACHE_LINE // 4
    return array[first : first + n]


def last_level_cache() -> int:
    """Bytes of the largest cache: all of it, for who measures memory must be sure to miss it."""
    return caches().whole


def flusher() -> Any:
    """A function that fills the caches with other data."""
    other = np.zeros(2 * last_level_cache() // 4, np.float32)
    return lambda: np.add(other, 1, out=other)


# --- the kernels -----------------------------------------------------------------------------------------------------


@intrinsic
def _multiply_adds(typing_context, numbers, rounds):
    """``rounds`` times one multiply-add on each of ``_SUMS`` vectors, read from an address and written back there."""

    def emit(context, builder, signature, arguments):
        numbers, rounds = arguments
        e = Emitter(builder)
        x, y, *sums = (e.load(e.address(numbers, j * WIDTH)) for j in range(_SUMS + 2))
        sums = e.loop(rounds, sums, lambda i, values: [e.fma(x, y, value) for value in values])
        for j, value in enumerate(sums):
            e.store(value, e.address(numbers, (j + 2) * WIDTH))
        return

    return types.void(types.int64, types.int64), emit


@kernel(parallel=True)
def _multiply_add(numbers, threads):
    for thread in prange(threads):
        _multiply_adds(numbers[thread].ctypes.data, _ROUNDS)  # type: ignore[call-arg]  # typed as Python sees it


@intrinsic
def _multiply_tiles(typing_context, numbers, rounds):
    """``rounds`` times a product of (_ROWS, _DEPTH) by (_DEPTH, two vectors), added to a tile that stays in registers.

    At the address lie a (_DEPTH, _ROWS), b (_DEPTH, 2 WIDTH), and the tile, which is written back there.
    """

    def emit(context, builder, signature, arguments):
        numbers, rounds = arguments
        e = Emitter(builder)
        b = e.address(numbers, _DEPTH * _ROWS)
        places = [e.address(b, (_DEPTH * 2 + j) * WIDTH) for j in range(2 * _ROWS)]

        def add(p, sums):
            row = e.address(b, builder.mul(p, I64(2 * WIDTH)))
            vectors = [e.load(e.address(row, j * WIDTH)) for j in range(2)]
            column = e.address(numbers, builder.mul(p, I64(_ROWS)))
            factors = [e.broadcast(e.address(column, i)) for i in range(_ROWS)]
            return [e.fma(factors[j // 2], vectors[j % 2], sum_) for j, sum_ in enumerate(sums)]

        start = [e.load(place) for place in places]
        sums = e.loop(rounds, start, lambda i, sums: e.loop(I64(_DEPTH), sums, add))
        for value, place in zip(sums, places, strict=True):
            e.store(value, place)
        return

    return types.void(types.int64, types.int64), emit


@kernel(parallel=True)
def _multiply_tile(numbers, threads):
    for thread in prange(threads):
        _multiply_tiles(numbers[thread].ctypes.data, _ROUNDS // _DEPTH)  # type: ignore[call-arg]


@intrinsic
def _sum_of_vectors(typing_context, x, count):
    """The sum of ``count`` times 8 vectors from an address, in 8 registers, so that no addition waits; as a float64."""

    def emit(context, builder, signature, arguments):
        x, count = arguments
        e = Emitter(builder)

        def add(i, sums):
            start = e.address(x, builder.mul(i, I64(8 * WIDTH)))
            return [builder.fadd(sum_, e.load(e.address(start, j * WIDTH))) for j, sum_ in enumerate(sums)]

        sums = e.loop(count, [ZERO] * 8, add)
        wide = ir.VectorType(ir.DoubleType(), WIDTH)
        total = functools.reduce(builder.fadd, [builder.fpext(value, wide) for value in sums])
        return functools.reduce(builder.fadd, [builder.extract_element(total, I32(lane)) for lane in range(WIDTH)])

    return types.float64(types.int64, types.int64), emit


@intrinsic
def _triad_of_lines(typing_context, b, c, a, size):
    """``a = b + c / 2`` of ``size`` floats at three addresses, written around the caches."""

    def emit(context, builder, signature, arguments):
        b, c, a, size = arguments
        e = Emitter(builder)
        half = constant(0.5)

        def body(i, lanes):
            value = e.fma(half, e.load(e.address(c, i), lanes), e.load(e.address(b, i), lanes))
            e.store_nontemporal(value, e.address(a, i), I1(1), lanes)

        e.vectors(size, body)
        return

    return types.void(types.int64, types.int64, types.int64, types.int64), emit


@kernel(parallel=True)
def _read(a, sums, threads):
    for thread in prange(threads):
        first, last = share(a.size // (8 * WIDTH), thread, threads)
        sums[thread] = _sum_of_vectors(address(a) + 32 * WIDTH * first, last - first)


@kernel(parallel=True)
def _copy(b, a, threads):
    for thread in prange(threads):
        first, last = share(a.size, thread, threads)
        target, source = a[first:last], b[first:last]
        for i in range(len(target)):
            target[i] = source[i]


@kernel(parallel=True)
def _copy_past_caches(b, a, threads):
    for thread in prange(threads):
        first, last = share(4 * a.size // CACHE_LINE, thread, threads)
        target, source = address(a) + CACHE_LINE * first, address(b) + CACHE_LINE * first
        scale(source, np.float32(1), target, CACHE_LINE // 4 * (last - first), True)
        fence()


@kernel(parallel=True)
def _triad(b, c, a, threads):
    for thread in prange(threads):
        first, last = share(a.size, thread, threads)
        target, source, scaled = a[first:last], b[first:last], c[first:last]
        for i in range(len(target)):
            target[i] = source[i] + np.float32(0.5) * scaled[i]


@kernel(parallel=True)
def _triad_past_caches(b, c, a, threads):
    for thread in prange(threads):
        first, last = share(4 * a.size // CACHE_LINE, thread, threads)
        start = CACHE_LINE * first
        _triad_of_lines(address(b) + start, address(c) + start, address(a) + start, CACHE_LINE // 4 * (last - first))
        fence()


@kernel(parallel=True)
def _update(a, threads):
    for thread in prange(threads):
        first, last = share(a.size, thread, threads)
        target = a[first:last]
        for i in range(len(target)):
            target[i] = np.float32(1.0000001) * target[i]
