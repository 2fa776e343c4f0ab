"""Compile, ahead of time, the kernels that a model's training and use need: one step of it on a few scenes, then its use.

A kernel is compiled for the types of its arrays, not for their sizes: so tiny data in the widths of the quick preset calls
for the same kernels as a real run.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv import ops
from scratchlv.errors import UserError
from scratchlv.tasks import TASKS

_TINY = ["n_train=64", "n_val=8", "steps=1", "validate_every=1"]
_ALSO = {"vqa": ["eyes_steps=1", "blind_steps=1"]}


class Warmed(NamedTuple):
    """What it took to get one model ready."""

    name: str
    seconds: float
    compiled: int  # kernels; 0: all were there


def models(names: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The (task, model) pairs that ``names`` mean, each a task or ``task:model``; all when there are none.

    Raises:
        UserError: there is no such task or model.
    """
    chosen = []
    for name in names or TASKS:
        task, _, model = name.partition(":")
        if task not in TASKS or model and model not in TASKS[task].models:
            there = ", ".join(f"{name} ({', '.join(each.models)})" for name, each in TASKS.items())
            raise UserError(f"there is no model {name!r} to warm up; there are {there}, written as task or task:model")
        chosen += [(task, each) for each in ([model] if model else TASKS[task].models)]
    return chosen


def warm_up(names: Sequence[str] = ()) -> Iterator[Warmed]:
    """Get the models that ``names`` mean ready, one after the other."""
    from scratchlv.kernels.building_blocks.compiling import compiled

    for task, model in models(names):
        began, before = time.perf_counter(), compiled()
        with tempfile.TemporaryDirectory() as folder:
            _train_and_use(task, model, Path(folder))
        yield Warmed(f"{task}:{model}", time.perf_counter() - began, compiled() - before)


def _train_and_use(task: str, model: str, folder: Path) -> None:
    from scratchlv.tasks import training

    module = TASKS[task].load()
    data = f"babi:{_stories(folder)}:1" if task == "babi" else "scenes"
    config = module.config(task, data, model, "quick", 0, [*_TINY, *_ALSO.get(task, [])])
    training.train(folder / "run", config, show_progress=False, say=_silence)
    run = training.load(folder / "run")
    if task == "lm":
        "".join(module.write(run, [], max_length=2))
        return
    module.evaluate(run, n=1)  # a batch of one has kernels of its own
    if TASKS[task].beam:
        module.evaluate(run, n=8, beam=2)


def _stories(folder: Path) -> Path:
    """A set of stories laid out as bAbI is."""
    stories = folder / "stories"
    stories.mkdir()
    told = "1 Mary went to the hall.\n2 John moved to the garden.\n3 Where is Mary? \thall\t1\n"
    (stories / "qa1_single-supporting-fact_train.txt").write_text(told * 64)
    return stories


def _silence(line: Any) -> None:
    pass


# --- two processes at it ---------------------------------------------------------------------------------------------

#: What takes longest first, and what a model comes to last: a second process begins here, after the recurrence, while the
#: first follows the model. Rooms that are not named are opened by many models and seldom trained.
_FROM_THE_END = ("softmax_cross_entropy", "conv2d", "linear", "batch_norm2d", "adam", "embedding", "lstm")


@contextlib.contextmanager
def compiling_together(model: str, say: Callable[[str], None]) -> Iterator[None]:
    """When ``model`` needs kernels compiled inside the ``with`` block, say so, and have a second process compile half of them.

    That one runs the rooms that were opened so far, from the other end. What it has done is found on
    disk by this process, which compiles only what it comes to first; it ends with the block.
    """
    from scratchlv.kernels.building_blocks.compiling import when_compiling

    helpers: list[subprocess.Popen] = []

    def begins() -> None:
        say("compiling kernels (once)")
        opened = [name for name in ops.OPERATIONS if name in vars(ops)]
        if (os.cpu_count() or 1) > 1 and sys.executable:
            command = [sys.executable, "-m", "scratchlv.warmup", *_from_the_end(model, opened)]
            quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            helpers.append(subprocess.Popen(command, **quiet))

    try:
        with when_compiling(begins):
            yield
    finally:
        for helper in helpers:
            helper.terminate()
            helper.wait()


def _from_the_end(model: str, opened: Sequence[str]) -> list[str]:
    recurrence = {"lstm": "lstm", "rnn": "rnn", "naive": "lstm"}.get(model, "attention_lstm")
    order = dict.fromkeys([recurrence, *_FROM_THE_END, *opened])
    return [name for name in order if name in opened]


def run_rooms(names: Sequence[str]) -> None:
    """Run the fast variant of these rooms, forward and backward, on small inputs."""
    for name in names:
        operation: ops.Operation = getattr(ops, name)
        for inputs in _inputs(operation):
            variant, _ = operation.choose(**inputs)
            if variant == "reference":
                continue
            if hasattr(operation.variant(variant), "step"):
                operation.step(**inputs)
                continue
            y, cache = operation.forward(**inputs)
            operation.backward(tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y)[()], cache)


def _inputs(operation: ops.Operation) -> Iterator[dict[str, Any]]:
    """The first case that a room is checked on; for conv2d, both ways of computing, the first layer's first."""
    rng = np.random.default_rng(0)
    if operation.name == "conv2d":
        inputs = {"x": rng.random((1, 8, 8, 16), np.float32), "W": rng.random((3, 3, 16, 16), np.float32)}
        for first in (True, False):
            yield {**inputs, "b": np.zeros(16, np.float32), "padding": 1, "exact": first, "x_is_data": first}
        return
    case = next(iter(operation.room.cases(rng).values()))
    yield {key: _as_float32(value) for key, value in case.items()}


def _as_float32(value: Any) -> Any:
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


if __name__ == "__main__":
    run_rooms(sys.argv[1:])
