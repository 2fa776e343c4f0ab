"""A run for each part of its data, side by side: of bAbI's tasks each has a model of its own (``babi:DIR:all``).

The run's folder holds its config and a run for each part, ``task-1``, ``task-2`` …, which can be used like any other. They are
trained in processes of their own, one for each core, with one thread each: models so small leave nothing to share out. Processes
that work together (``--data-parallel``) have some of the parts each.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from scratchlv.cores import usable_cores
from scratchlv.errors import UserError
from scratchlv.parallel.team import SharedError, team
from scratchlv.tasks import TASKS, run_folder
from scratchlv.training.interrupts import finish_the_step
from scratchlv.training.trainer import Interrupted

_INTERRUPTED = 130


def refuse(config: Any, what: str) -> None:
    """
    Raises:
        UserError: it is a run of several parts, and ``what`` is of one.
    """
    if config.separate:
        raise UserError(f"{what} is of one model, and {config.data} has one for each task; give one task")


def parts(folder: Path, config: Any) -> dict[str, Path]:
    """The folders of the runs, by the name of the part."""
    names = TASKS[config.task].load().parts(config)
    return {name: folder / f"task-{name}" for name in names}


def train(folder: Path, config: Any, fitted: Any, say: Any) -> Any:
    """Train the run of each part that is not done.

    Raises:
        UserError: one of them failed; its message has been printed.
        Interrupted: they were interrupted, and have written their checkpoints.
    """
    task = TASKS[config.task].load()
    if fitted is None:
        fitted = team().together(lambda: task.fit(config, say))
        team().first(lambda: run_folder.create(folder, config, fitted))
    work = _train_in_team if team().active else _train_in_children
    codes = work(parts(folder, config), config, say)
    if _INTERRUPTED in codes.values():
        raise Interrupted
    failed = [name for name, code in codes.items() if code != 0]
    if failed:
        raise SharedError(f"not trained: {', '.join(failed)} of {config.data}; the reason stands above")
    return task.Run(config, fitted, None, folder)


def _train_in_team(folders: dict[str, Path], config: Any, say: Any) -> dict[str, int]:
    """How each part ended; this process trains every P-th, one after the other."""
    task, together, began = TASKS[config.task].load(), team(), time.monotonic()
    codes: list[tuple[str, int, float]] = []
    with together.apart():
        for name, where in together.mine(list(folders.items())):
            codes.append((name, _train_one(where, task.part(config, name)), time.monotonic() - began))
            if codes[-1][1] == _INTERRUPTED:
                break
    everybody = together.in_order(codes)
    for name, code, seconds in everybody:
        _say_end(say, name, code, seconds)
    return {name: code for name, code, _ in everybody}


def _say_end(say: Any, name: str, code: int, seconds: float) -> None:
    say(f"task {name}: {'trained' if code == 0 else 'not trained'}, {seconds:.0f} s")


def _train_in_children(folders: dict[str, Path], config: Any, say: Any) -> dict[str, int]:
    """How each part ended; as many are trained at a time as there are cores."""
    task, waiting = TASKS[config.task].load(), dict(folders)
    codes: dict[str, int] = {}
    running: dict[str, SpawnProcess] = {}
    context = multiprocessing.get_context("spawn")  # a forked process would share the kernels' threads
    began = time.monotonic()
    with finish_the_step() as interrupted:
        while (waiting or running) and not interrupted.is_set():
            while waiting and len(running) < usable_cores().n:
                name, where = next(iter(waiting.items()))
                del waiting[name]
                running[name] = context.Process(target=_child, args=(where, task.part(config, name)))
                running[name].start()
            _wait(running)
            for name in [name for name, process in running.items() if not process.is_alive()]:
                codes[name] = running.pop(name).exitcode or 0
                if codes[name] == _INTERRUPTED:
                    interrupted.set()
                _say_end(say, name, codes[name], time.monotonic() - began)
        for process in running.values():
            process.terminate()  # politely: it finishes its step, and writes a checkpoint
        for process in running.values():
            process.join()
    return codes | dict.fromkeys([*running, *waiting], _INTERRUPTED)


def _wait(running: dict[str, SpawnProcess]) -> None:
    for process in running.values():
        process.join(0.1)
        if not process.is_alive():
            return


def _child(folder: Path, config: Any) -> None:
    """In a process of its own."""
    import scratchlv

    scratchlv.set_threads(1)
    sys.exit(_train_one(folder, config))


def _train_one(folder: Path, config: Any) -> int:
    """Train a part, or go on with it; 0 if that ended well."""
    from scratchlv.tasks import training

    try:
        training.train(
            folder, None if run_folder.is_run(folder) else config, show_progress=False, say=lambda line: None
        )
    except (Interrupted, KeyboardInterrupt):
        return _INTERRUPTED
    except UserError as error:
        print(f"error: {folder.name}: {error}", file=sys.stderr)
        return os.EX_DATAERR
    return 0
