"""One side of one case, in a process of its own: ``python benchmarks/worker.py CASE SIDE RESULTS``.

It makes the side ready, takes the first step, saves what came of it in the file RESULTS, and then takes, for each number that
it reads, steps for about so many seconds. It answers with their times in ms, as one line of JSON.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import workers


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    case, side, results = sys.argv[1:]
    with workers.as_worker() as answers:
        serve(case, side, Path(results), answers)


def serve(case: str, name: str, file: Path, answers) -> None:
    from case import COMPILED, NUMPY, TORCH
    from table import all_cases

    import scratchlv

    side = next(side for side in all_cases()[case].sides if side.name == name)
    if side.kind in (TORCH, COMPILED):
        import numba
        import torch

        torch.set_num_threads(numba.config.NUMBA_NUM_THREADS)  # as many as ours
    with scratchlv.use("reference") if side.kind == NUMPY else contextlib.nullcontext():
        task = side.build()
        workers.serve(task.results(), file, answers, lambda line: timed(task.step, float(line)))


def timed(step, seconds: float) -> list[float]:
    """Times in ms of steps that take about so many seconds together; the first only warms the caches, if there are others."""
    began = before = time.perf_counter()
    times: list[float] = []
    while before - began < seconds:
        step()
        after = time.perf_counter()
        times.append(1e3 * (after - before))
        before = after
    return times[1:] or times


if __name__ == "__main__":
    main()
