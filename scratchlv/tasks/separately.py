"""A run for each part of its data, side by side: of bAbI's tasks each has a model of its own (``babi:DIR:all``).

The run's folder holds its config and a run for each part, ``task-1``, ``task-2`` …, which can be used like any other. They are
trained in processes of their own, one for each core, with one thread each: models so small leave nothing to share out.
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
        fitted = task.fit(config, say)
        run_folder.create(folder, config, fitted)
    waiting, failed = parts(folder, config), []
    running: dict[str, SpawnProcess] = {}
    context = multiprocessing.get_context("spawn")  # a forked process would share the kernels' threads
    began = time.monotonic()
    with finish_the_step() as interrupted:
        while (waiting or running) and not interrupted.is_set():
            while waiting and len(running) < usable_cores().n:
                name, where = next(iter(waiting.items()))
                del waiting[name]
                running[name] = context.Process(target=_train_one, args=(where, task.part(config, name)))
                running[name].start()
            _wait(running)
            for name in [name for name, process in running.items() if not process.is_alive()]:
                code = running.pop(name).exitcode
                if code == _INTERRUPTED:
                    interrupted.set()
                elif code != 0:
                    failed.append(name)
                say(f"task {name}: {'trained' if code == 0 else 'not trained'}, {time.monotonic() - began:.0f} s")
        for process in running.values():
            process.terminate()  # politely: it finishes its step, and writes a checkpoint
        for process in running.values():
            process.join()
    if interrupted.is_set():
        raise Interrupted
    if failed:
        raise UserError(f"not trained: {', '.join(failed)} of {config.data}; the reason stands above")
    return task.Run(config, fitted, None, folder)


def _wait(running: dict[str, SpawnProcess]) -> None:
    for process in running.values():
        process.join(0.1)
        if not process.is_alive():
            return


def _train_one(folder: Path, config: Any) -> None:
    """In a process of its own."""
    import scratchlv
    from scratchlv.tasks import training

    scratchlv.set_threads(1)
    try:
        training.train(
            folder, None if run_folder.is_run(folder) else config, show_progress=False, say=lambda line: None
        )
    except (Interrupted, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
    except UserError as error:
        print(f"error: {folder.name}: {error}", file=sys.stderr)
        sys.exit(os.EX_DATAERR)
