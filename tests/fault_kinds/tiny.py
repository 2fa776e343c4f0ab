"""Runs that take half a second, undisturbed and as they were left by a fault, and whether the two are the same."""

from __future__ import annotations

import itertools
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

from scratchlv.tasks import TASKS, run_folder, training
from scratchlv.training import checkpoint, trainer
from scratchlv.training.log import read_log

WIDTHS = ["hidden=8", "embedding=8"]
RUNS = {
    "lm": ("rnn", ["n_train=200", "n_val=30", "steps=40", "batch=4", "warmup=5", "unroll=8", "validate_every=15"]),
    "caption": ("attention", ["n_train=24", "n_val=6", "steps=16", "batch=4", "attention=8", "validate_every=7"]),
    "vqa": (
        "attention",
        ["n_train=12", "n_val=5", "steps=12", "batch=4", "attention=8", "validate_every=5"]
        + ["encoder_steps=4", "blind_steps=4", "questions=2"],
    ),
}


#: of few operations on files, for faults at each of them
SHORT = {
    "short lm": ("rnn", ["n_train=60", "n_val=10", "steps=6", "batch=4", "warmup=1", "unroll=8", "validate_every=4"])
}
SEED = 3


def config(name: str):
    task, (model, overrides) = name.split()[-1], (RUNS | SHORT)[name]
    return TASKS[task].load().config(task, "scenes", model, "quick", SEED, [*overrides, *WIDTHS])


def words(name: str) -> list[str]:
    """What is typed behind ``train`` for it."""
    model, overrides = (RUNS | SHORT)[name]
    settings = [word for each in (*overrides, *WIDTHS) for word in ("--set", each)]
    return [name.split()[-1], "--model", model, "--seed", str(SEED), *settings]


def train(folder: Path, task: str | None = None) -> None:
    """Train a run of ``task`` into ``folder``, or go on with the one that is there; a checkpoint every other step."""
    with hasty():
        training.train(folder, None if task is None else config(task), show_progress=False, say=lambda line: None)


def go_on(folder: Path, task: str) -> None:
    """What a user does after a fault: ``--resume`` where there is a run, and else the same command again."""
    train(folder, None if run_folder.is_run(folder) else task)


@contextmanager
def hasty() -> Iterator[None]:
    """A clock that runs so fast that a checkpoint is due every other step."""
    before, ticks = trainer.time, itertools.count(0, 20)
    trainer.time = SimpleNamespace(monotonic=lambda: float(next(ticks)))  # type: ignore[assignment]
    try:
        yield
    finally:
        trainer.time = before


def difference(one: Path, other: Path) -> str | None:
    """What differs between two runs that should be the same to the bit; None if nothing does."""
    folders = sorted(path.parent.relative_to(one) for path in one.rglob("checkpoint-*.json"))
    for folder in dict.fromkeys(folders):
        (tensors, state), (others, other_state) = checkpoint.load(one / folder), checkpoint.load(other / folder)
        if tensors.keys() != others.keys():
            return f"{folder}: other tensors"
        for name, value in tensors.items():
            if value.tobytes() != others[name].tobytes():
                return f"{folder}: {name} has other bits"
        for name in state.keys() - {"seconds"}:
            if state[name] != other_state.get(name):
                return f"{folder}: {name} of the state"
    for path in one.rglob("config.json"):
        if path.read_bytes() != (other / path.relative_to(one)).read_bytes():
            return f"{path.relative_to(one)}"
    return None


def log_difference(one: Path, other: Path) -> str | None:
    """What differs between the logs of two runs but the time that they took."""
    said, others = ([entry | {"seconds": 0} for entry in read_log(folder / "log.jsonl")] for folder in (one, other))
    lines = len((other / "log.jsonl").read_bytes().splitlines())
    if lines != len(others):
        return f"the log has {lines} lines, of which {len(others)} count"
    return None if said == others else "the log"


def in_child(work: Callable[[], None], after_start: Callable[[int], None] = lambda pid: None) -> tuple[int, str]:
    """``work()`` in a fork: its exit status (-9 when it was killed), and the traceback if it raised."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                work()
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode(errors="replace")[-60_000:])
        finally:
            os._exit(status)
    os.close(writing)
    after_start(pid)
    with open(reading, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def last_line(said: str) -> str:
    return said.strip().splitlines()[-1] if said.strip() else "nothing said"


def undisturbed(root: Path) -> dict[str, Path]:
    """An undisturbed run of each task; the kernels are warm afterwards, for this process and its forks."""
    for task in RUNS:
        print(f"an undisturbed run: {task}", file=sys.stderr)
        train(root / task, task)
    return {task: root / task for task in RUNS}
