"""One side of one case, in a process of its own: ``python benchmarks/worker.py CASE SIDE RESULTS``.

It makes the side ready, takes the first step, saves what came of it in the file RESULTS, and then takes, for each number that
it reads, steps for about so many seconds. It answers with their times in ms, as one line of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
import time
from pathlib import Path

import numpy as np

SIGKILL, PR_SET_PDEATHSIG = 9, 1


def main() -> None:
    _die_with_the_parent()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    case, side, results = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # whoever else prints must not disturb the protocol
    try:
        serve(case, side, Path(results), answers)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(1)


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
        np.savez(file, **task.results())
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(timed(task.step, float(line))), file=answers, flush=True)


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


def _die_with_the_parent() -> None:
    """On Linux a worker ends with whoever started it, even if it is stopped and cannot notice."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)


if __name__ == "__main__":
    main()
