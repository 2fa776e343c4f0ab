"""What the machine can reach: float32 operations in a second, and bytes in a second from memory and from its caches."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.bench.timing import time_calls
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.processor import caches
from scratchlv.kernels.building_blocks.simd import REGISTERS, WIDTH, Emitter, address, fence, scale, total_of_pairs
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.memory import CACHE_LINE

_SUMS = REGISTERS - 4  # independent, so that none waits for the one before; the rest holds the two factors
_ROUNDS = 200_000
_MEBI = 1 << 20
_IN_CACHE = (_MEBI // 4, _MEBI, 4 * _MEBI, 16 * _MEBI)  # bytes that a copy moves
_SECONDS = 0.3  # for each measurement; the best counts, for a ceiling is what can be reached
_MOST = 512 * _MEBI  # bytes of an array, however large the cache


class Ceilings(NamedTuple):
    """``peak`` in operations a second; the rest in bytes a second: ``memory`` by pattern, ``caches`` by the bytes moved.

    The patterns are *read* (Σ a), *copy* (a = b), *triad* (a = b + s c) and *update* (a = s a). Bytes read and bytes written
    count. To write what it has not read a core must first fetch it, which does not count: so update is quicker than triad, and
    than a copy that does not go past the caches. Both kinds of copy are tried, as kernels do both.
    """

    peak: float
    memory: dict[str, float]
    caches: dict[int, float]

    @property
    def best_memory(self) -> float:
        """Of the patterns, through arrays that no cache holds."""
        return max(self.memory.values())

    def bandwidth(self, size: float, pattern: str | None = None) -> float:
        """For work on ``size`` bytes: what was measured at the next smaller size, as a cache may hold so much.

        For more than the caches hold it is that of the ``pattern``, or of the best of them.
        """
        if size > last_level_cache():
            return self.best_memory if pattern is None else self.memory[pattern]
        held = [speed for moved, speed in self.caches.items() if moved <= size]
        return held[-1] if held else max(self.best_memory, *self.caches.values())

    def least_seconds(self, operations: float, size: float) -> float:
        """The time of a call that runs at the ceiling: operations / min(peak, intensity × bandwidth)."""
        return max(operations / self.peak, size / self.bandwidth(size))

    def better(self, other: Ceilings) -> Ceilings:
        """Of two measurements, the higher: neither can have been more than the machine can do."""
        memory = {name: max(speed, other.memory[name]) for name, speed in self.memory.items()}
        caches = {size: max(speed, other.caches[size]) for size, speed in self.caches.items()}
        return Ceilings(max(self.peak, other.peak), memory, caches)

    def to_json(self) -> dict[str, Any]:
        """In GFLOP/s and GB/s."""
        return {
            "peak_gflops": self.peak / 1e9,
            "memory_gbs": self.best_memory / 1e9,
            "memory_gbs_by_pattern": {name: speed / 1e9 for name, speed in self.memory.items()},
            "cache_gbs_by_bytes": {str(size): speed / 1e9 for size, speed in self.caches.items()},
        }


def measure(most: int = _MOST) -> Ceilings:
    """Measure them, with the threads that kernels use now, through arrays of at most ``most`` bytes; a few seconds."""
    threads = n_threads()
    numbers = np.full((threads, (_SUMS + 2) * WIDTH), 1e-3, np.float32)

    def speed(kernel: Any, count: float, *arrays: Any) -> float:
        kernel(*arrays, threads)  # compiled, and its pages are there
        return count / time_calls(lambda: kernel(*arrays, threads), seconds=_SECONDS).least

    peak = speed(_multiply_add, 2.0 * threads * _ROUNDS * _SUMS * WIDTH, numbers)
    size = min(most, max(64 * _MEBI, 4 * last_level_cache()))
    a, b, c = (_ones(size // 4) for _ in range(3))
    sums = np.empty(threads)
    caches = {}
    for moved in _IN_CACHE:
        if moved <= last_level_cache():
            n = moved // 8
            patterns = (_read, a[: 2 * n], sums), (_copy, b[:n], a[:n]), (_update, a[:n])
            caches[moved] = max(speed(kernel, moved, *arrays) for kernel, *arrays in patterns)
    memory = {
        "read": speed(_read, size, a, sums),
        "copy": max(speed(copy, 2.0 * size, b, a) for copy in (_copy, _copy_past_caches)),
        "triad": speed(_triad, 3.0 * size, b, c, a),
        "update": speed(_update, 2.0 * size, a),
    }
    return Ceilings(peak, memory, caches)


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


@kernel(parallel=True)
def _read(a, sums, threads):
    for thread in prange(threads):
        first, last = share(a.size // (2 * WIDTH), thread, threads)
        sums[thread] = total_of_pairs(address(a) + 8 * WIDTH * first, last - first)


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
def _update(a, threads):
    for thread in prange(threads):
        first, last = share(a.size, thread, threads)
        target = a[first:last]
        for i in range(len(target)):
            target[i] = np.float32(1.0000001) * target[i]
