"""Compile, ahead of time, the kernels that a model's training and use need: one step of it on a few scenes, then its use.

A kernel is compiled for the types of its arrays, not for their sizes: so tiny data in the widths of the quick preset calls
for the same kernels as a real run.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv.errors import UserError
from scratchlv.tasks import TASKS

_TINY = ["steps=1", "validate_every=1"]
_OF_SCENES = ["n_train=64", "n_val=8"]
_ALSO = {"vqa": ["encoder_steps=1", "blind_steps=1"]}


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
    from scratchlv.tasks.compiling import compiling_together

    for task, model in models(names):
        began, before = time.perf_counter(), compiled()
        with tempfile.TemporaryDirectory() as folder, compiling_together(_silence, task, model):
            _train_and_use(task, model, folder=Path(folder))
        yield Warmed(f"{task}:{model}", time.perf_counter() - began, compiled() - before)


def _train_and_use(task: str, model: str, *, folder: Path) -> None:
    from scratchlv.tasks import training

    module = TASKS[task].load()
    data, size = (f"babi:{_stories(folder)}:1", []) if task == "babi" else ("scenes", _OF_SCENES)
    config = module.config(task, data, model, "quick", 0, [*_TINY, *size, *_ALSO.get(task, [])])
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


def compile_largest_first(*what: str) -> None:
    """Compile the kernels that :func:`rehearse` finds, but for those that other processes are at.

    The largest come first, so that neither of two processes is left with a long one at the end.
    """
    from scratchlv.kernels.building_blocks.compiling import compile_unless_others_do, size

    gc.disable()  # the process ends before its garbage matters
    for kernel, types in sorted(rehearse(*what), key=lambda call: size(call[0]), reverse=True):
        compile_unless_others_do(kernel, types)


def rehearse(what: str, *names: str) -> list[Any]:
    """The kernels that are called, with their types, in the order of their first calls.

    Of a model's training and use, ``rehearse(task, model)``; or of a check of operations, ``rehearse("gradcheck", *names)``.
    """
    from scratchlv.kernels.building_blocks.compiling import rehearsal

    with tempfile.TemporaryDirectory() as folder, rehearsal() as calls, np.errstate(all="ignore"):
        try:
            if what == "gradcheck":
                _run_cases(names)
            else:
                _train_and_use(what, *names, folder=Path(folder))
        except Exception:  # nothing is computed: should that stop it, what was called so far is known
            traceback.print_exc()
    return calls


def _run_cases(names: Sequence[str]) -> None:
    """Run operations in the CPU's kernels on the cases that gradcheck has of them; compare nothing."""
    from scratchlv import ops
    from scratchlv.gradcheck.trees import as_float32, random_like

    for operation in (getattr(ops, name) for name in names):
        module, rng = operation.variant("numba_cpu"), np.random.default_rng(0)
        for case in operation.room.cases(rng).values():
            inputs = as_float32(case)
            if module.limits(**inputs) is not None:
                continue
            if hasattr(module, "step"):  # in place; the arrays are this function's own
                module.step(**inputs)
            else:
                y, cache = module.forward(**inputs)
                module.backward(as_float32(random_like(y, rng)), cache)


if __name__ == "__main__":
    compile_largest_first(*sys.argv[1:])
