"""How long a call takes: many calls, and of their times the median with the 20th and the 80th percentile."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

_SECONDS = 0.35  # for one timing; a call that takes longer is timed once
_MOST = 60  # samples
_SHORT = 2e-4  # seconds; shorter calls are timed several at once


class Timing(NamedTuple):
    """In seconds."""

    median: float
    p20: float
    p80: float
    least: float
    samples: int


def time_calls(
    call: Callable[[], Any], *, seconds: float = _SECONDS, before: Callable[[], Any] | None = None
) -> Timing:
    """Time ``call``, which was called before and is warm; ``before`` is done ahead of each, and not timed."""
    collect = gc.isenabled()
    gc.disable()  # it would come at any time
    try:
        return _sample(call, seconds, before)
    finally:
        if collect:
            gc.enable()


def _sample(call: Callable[[], Any], seconds: float, before: Callable[[], Any] | None) -> Timing:
    repeats = 1
    if before is None:
        start = perf_counter()
        call()
        repeats = max(1, round(_SHORT / max(perf_counter() - start, 1e-7)))
    began = perf_counter()
    samples: list[float] = []
    while len(samples) < _MOST and (not samples or perf_counter() - began < seconds):
        if before is not None:
            before()
        start = perf_counter()
        for _ in range(repeats):
            call()
        samples.append((perf_counter() - start) / repeats)
    p20, median, p80 = np.percentile(samples, (20, 50, 80))
    return Timing(float(median), float(p20), float(p80), min(samples), len(samples))
