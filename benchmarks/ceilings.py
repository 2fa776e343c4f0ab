"""What this machine can do at most: multiplications and additions a second, and bytes a second, from memory and from cache.

    python benchmarks/ceilings.py

prints one line of JSON. Every core takes part. A byte that is written counts once, though most processors read a line before
they write to it: so copying is slower than reading, than an update in place (two read, one written), and than copying past the
caches. The best counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.memory import empty
from scratchlv.kernels.building_blocks.simd import I32, WIDTH, Emitter, address, fence, scale, total_of_pairs
from scratchlv.kernels.building_blocks.threads import n_threads

CHAINS = 12  # independent sums: enough to hide the latency of an fma, few enough for the registers
TURNS = 4_000_000
LARGE, SMALL = 384 << 20, 8 << 20  # bytes: far larger than the caches, and well within the last of them
BLOCK = 1 << 14  # floats


def main() -> None:
    threads = n_threads()
    seconds = best(lambda: _peak(np.full(threads, np.float32(0.5)), TURNS), 60)
    found = {"gflops": 2e-9 * CHAINS * WIDTH * TURNS * threads / seconds}
    found |= {f"{name}_gbs": value for name, value in bandwidths().items()}
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))


def bandwidths() -> dict[str, float]:
    """GB/s: ``dram``, the best of ``dram_read``, ``dram_copy`` and ``dram_update``; ``cache``, reading from the last level."""
    a, b = (empty(LARGE // 4) for _ in range(2))
    a.fill(1)
    b.fill(1)
    blocks = LARGE // 4 // BLOCK
    found = {
        "dram_read": LARGE / best(lambda: _read(a, np.empty(blocks)), 15),
        "dram_copy": 2 * LARGE / min(best(lambda: _copy(a, b), 15), best(lambda: _copy_past_caches(a, b), 15)),
        "dram_update": 3 * LARGE / best(lambda: _update(a, b), 15),
    }
    found["dram"] = max(found.values())
    found["cache"] = SMALL / best(lambda: _read(a, np.empty(SMALL // 4 // BLOCK)), 99)
    return {name: value / 1e9 for name, value in found.items()}


def best(action: Callable[[], object], times: int) -> float:
    """Seconds of the fastest; a ceiling is what was reached at least once."""
    action()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


@intrinsic
def _chains(typing_context, number, turns):
    """``turns`` times one fma in each of CHAINS registers, which begin with the float at the address ``number``."""

    def emit(context, builder, signature, arguments):
        e = Emitter(builder)
        x = e.broadcast(arguments[0])
        sums = e.loop(arguments[1], [x] * CHAINS, lambda i, sums: [e.fma(s, x, x) for s in sums])
        total = sums[0]
        for s in sums[1:]:
            total = builder.fadd(total, s)
        return builder.extract_element(total, I32(0))

    return types.float32(types.int64, types.int64), emit


@kernel(parallel=True)
def _peak(numbers, turns):
    for thread in prange(len(numbers)):
        numbers[thread] = _chains(address(numbers) + 4 * thread, turns)


@kernel(parallel=True)
def _read(a, sums):
    for block in prange(len(sums)):
        sums[block] = total_of_pairs(address(a) + 4 * BLOCK * block, BLOCK // (2 * WIDTH))


@kernel(parallel=True)
def _copy(a, b):
    for i in prange(len(a)):
        b[i] = a[i]


@kernel(parallel=True)
def _copy_past_caches(a, b):
    for block in prange(len(a) // BLOCK):
        at = 4 * BLOCK * block
        scale(address(a) + at, np.float32(1), address(b) + at, BLOCK, True)
        fence()


@kernel(parallel=True)
def _update(a, b):
    for i in prange(len(a)):
        b[i] += a[i]


if __name__ == "__main__":
    main()
