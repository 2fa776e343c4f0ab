"""SIGKILL: at a random moment of training, and at a random operation on a file."""

from __future__ import annotations

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np

from tests.fault_kinds import tiny
from tests.fault_kinds.operations import watched
from tests.fault_kinds.report import Report


def run(n: int, seed: int, root: Path, undisturbed: dict[str, Path]) -> Report:
    """``n`` runs are killed, some of them twice, and go on; each must end with the bits of an undisturbed one."""
    report = Report("killed with SIGKILL")
    lasts = {task: _seconds_and_operations(task, root / "measured") for task in tiny.RUNS}
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        task = list(tiny.RUNS)[k % len(tiny.RUNS)]
        folder = root / f"killed-{k}"
        seconds, operations = lasts[task]
        times, said = 0, ""
        while times < 3:
            at = int(rng.integers(operations)) if rng.random() < 0.5 else None
            status, said = _killed(folder, task, at, rng.uniform(0, seconds))
            if status != -signal.SIGKILL:
                break
            times += 1
            if rng.random() < 0.7:
                status, said = tiny.in_child(partial(tiny.go_on, folder, task))
                break
        else:
            status, said = tiny.in_child(partial(tiny.go_on, folder, task))
        broken = None
        if status != 0:
            broken = f"seed {seed}, kill {k}, {task}: {tiny.last_line(said)}"
        else:
            found = tiny.difference(undisturbed[task], folder) or tiny.log_difference(undisturbed[task], folder)
            broken = found and f"seed {seed}, kill {k}, {task}: not the same bits: {found}"
        report.note(
            f"{task} killed {'once' if times == 1 else f'{times} times'}" if times else f"{task} was quicker", broken
        )
        if broken is None:
            shutil.rmtree(folder, ignore_errors=True)
    return report


def _killed(folder: Path, task: str, at: int | None, seconds: float) -> tuple[int, str]:
    """Go on with a run in a child that dies at its ``at``-th operation on a file, or else after some seconds."""
    left = [at]

    def die_at(kind: str, path: str, more: object) -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        with watched(folder, before=die_at):
            tiny.go_on(folder, task)

    def kill_later(pid: int) -> None:
        if at is None:
            time.sleep(seconds)
            os.kill(pid, signal.SIGKILL)

    return tiny.in_child(work, kill_later)


def _seconds_and_operations(task: str, folder: Path) -> tuple[float, int]:
    """How long a run takes, and how many operations on files it makes."""
    shutil.rmtree(folder, ignore_errors=True)
    counted: list[str] = []
    began = time.monotonic()
    with watched(folder, before=lambda kind, path, more: counted.append(kind)):
        tiny.train(folder, task)
    seconds = time.monotonic() - began
    shutil.rmtree(folder)
    return seconds, len(counted)
