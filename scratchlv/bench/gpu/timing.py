"""How long a call takes on a GPU, in two senses.

*As called*: many calls one after another, from the first being launched until the last is done, by the host's clock. That is
what a training loop sees: where the host is slower to launch than the GPU to compute, it is the host's time.
*On the device*: the time between two events of the stream around one call. The GPU is kept busy while the host queues the call,
so that the host's time does not show; and before each call other memory was read, so that the second-level cache holds none of
the call's (or, for ``cold=False``, is left as the call before left it).

CuPy's current stream and PyTorch's are both the default one: the events of either see the work of both.
"""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cupy
import numpy as np

from scratchlv.cuda import load

FEWEST, MOST = 5, 200  # samples
AT_ONCE = 5  # samples that are queued together
CALLS_SECONDS = 5e-3  # so long are many calls timed together
LONGEST_WAIT = 5e-3  # seconds that the GPU is kept busy at most
OTHER_MEMORY = 256 << 20  # bytes that are read to empty the cache
BLOCK = 256


class Timing(NamedTuple):
    """In microseconds."""

    median: float
    p20: float
    p80: float
    samples: int

    def __str__(self) -> str:
        return f"{self.median:.4g} [{self.p20:.4g}-{self.p80:.4g}]"


def timing(microseconds: list[float]) -> Timing:
    p20, median, p80 = np.percentile(microseconds, (20, 50, 80))
    return Timing(float(median), float(p20), float(p80), len(microseconds))


def wait_for_all() -> None:
    """Until the GPU is done with everything, CuPy's and PyTorch's."""
    cupy.cuda.Device().synchronize()


def as_called(call: Callable[[], Any], seconds: float) -> list[float]:
    """Microseconds a call, of blocks of several calls that take some milliseconds together."""
    call()
    wait_for_all()
    began = time.perf_counter()
    call()
    wait_for_all()
    repeats = max(1, round(CALLS_SECONDS / max(time.perf_counter() - began, 1e-6)))
    samples: list[float] = []
    collected = gc.isenabled()
    gc.disable()
    try:
        until = time.perf_counter() + seconds
        while len(samples) < MOST and (len(samples) < FEWEST or time.perf_counter() < until):
            began = time.perf_counter()
            for _ in range(repeats):
                call()
            wait_for_all()
            samples.append(1e6 * (time.perf_counter() - began) / repeats)
            if len(samples) == 1 and samples[0] > 1e6 * seconds:
                break  # so slow that one is enough
    finally:
        if collected:
            gc.enable()
    return samples


def on_the_device(call: Callable[[], Any], seconds: float, *, cold: bool = True) -> Timing:
    """The time between events around the call."""
    call()
    wait_for_all()
    began = time.perf_counter()
    call()
    host = time.perf_counter() - began
    wait_for_all()
    busy = min(LONGEST_WAIT, 2 * host + 50e-6)
    samples: list[float] = []
    until = time.perf_counter() + seconds
    while len(samples) < MOST and (len(samples) < FEWEST or time.perf_counter() < until):
        batch = []
        for _ in range(AT_ONCE):
            if cold:
                empty_the_cache()
            keep_busy(busy)
            before, after = cupy.cuda.Event(), cupy.cuda.Event()
            before.record()
            call()
            after.record()
            batch.append((before, after))
        wait_for_all()
        samples += [1e3 * cupy.cuda.get_elapsed_time(*events) for events in batch]
        if max(samples) > 1e6 * seconds:
            break
    return timing(samples)


def empty_the_cache() -> None:
    """Read other memory: the second-level cache then holds that, and nothing that must be written back."""
    other, sums = _other_memory()
    load("ceilings.cu")["read_through"]((sums.size // BLOCK,), (BLOCK,), other, sums, np.int64(other.size // 4))


def keep_busy(seconds: float) -> None:
    _, sums = _other_memory()
    load("ceilings.cu")["spin"]((1,), (1,), sums, np.int64(1e9 * seconds))


@functools.cache
def _other_memory() -> tuple[Any, Any]:
    return cupy.zeros(OTHER_MEMORY // 4, np.float32), cupy.zeros(4 * processors() * BLOCK, np.float32)


@functools.cache
def processors() -> int:
    return cupy.cuda.Device().attributes["MultiProcessorCount"]


def free_memory() -> None:
    """Give back what the pools of CuPy and PyTorch hold and nobody uses."""
    gc.collect()
    wait_for_all()
    cupy.get_default_memory_pool().free_all_blocks()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
