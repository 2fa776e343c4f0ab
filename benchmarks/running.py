"""One side of a whole run, in a process of its own: ``python benchmarks/running.py PROBLEM SIDE RESULTS``.

It answers each number of steps that it reads with what so many steps of training, from the beginning, took.
"""

from __future__ import annotations

import dataclasses
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
OURS = "scratchlv"
_LOADER = ("PyTorch, DataLoader with 0 workers", "PyTorch, DataLoader with 1 worker")
SIDES = {
    "caption": (OURS, *_LOADER),
    "lm": (OURS, "PyTorch, slices of a tensor"),
    "translate": (OURS, *_LOADER),
}


class Problem(NamedTuple):
    """What is trained; both sides get the same."""

    name: str
    what: str
    items: str  # what is counted in a second
    config: Any
    fitted: Any
    data: Any  # the training set
    epoch: int  # steps

    def batch_at(self, step: int) -> Any:
        """As the task's job makes it."""
        s, seed = self.config.settings, self.config.seed
        if self.name == "lm":
            return self.data.training_batch(step, self.fitted.streams, self.fitted.unroll, seed)
        return self.data.training_batch(step, s.batch, seed)

    def model(self, *, dropout: bool = True) -> Any:
        """The model with its first parameters."""
        from scratchlv.tasks import training

        settings = self.config.settings
        if not dropout:
            settings = dataclasses.replace(settings, dropout=0.0)
        return training.new(dataclasses.replace(self.config, settings=settings), self.fitted).model

    def count(self, batch: Any) -> int:
        """Items of a batch."""
        if self.name == "lm":
            return batch.weight * batch.tokens.shape[1]
        return batch.tokens.shape[1]


class Stopwatch:
    """The seconds that calls of some functions take, by the name of a part."""

    def __init__(self, *parts: str) -> None:
        self.seconds = dict.fromkeys(parts, 0.0)

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            began = perf_counter()
            result = function(*arguments, **named)
            self.seconds[part] += perf_counter() - began
            return result

        return call


def train_ours(problem: Problem, steps: int) -> dict[str, Any]:
    """Train as ``scratchlv train`` does, but for the validation."""
    from scratchlv.tasks import training
    from scratchlv.training.trainer import Trainer

    watch, model, items = Stopwatch("batches", "model", "update"), problem.model(), 0

    def batch_at(step: int) -> Any:
        nonlocal items
        batch = problem.batch_at(step)
        items += problem.count(batch)
        return batch

    settings = dataclasses.replace(training.train_settings(problem.config.settings), steps=steps, validate_every=0)
    with tempfile.TemporaryDirectory(prefix="scratchlv-") as folder:
        trainer = Trainer(model, watch.around("batches", batch_at), settings, Path(folder), show_progress=False)
        model.forward = watch.around("model", model.forward)
        model.backward = watch.around("model", model.backward)
        trainer.flat.collect = watch.around("update", trainer.flat.collect)  # type: ignore[method-assign]
        trainer.optimiser.step = watch.around("update", trainer.optimiser.step)  # type: ignore[method-assign]
        began = perf_counter()
        loss = trainer.run()
        seconds = perf_counter() - began
    return {"steps": steps, "seconds": seconds, "items": items, "parts": watch.seconds, "loss": float(loss)}


def first_batch(problem: Problem) -> dict[str, Any]:
    """The loss and the gradients of the first batch, without dropout."""
    model = problem.model(dropout=False)
    loss, cache = model.forward(problem.batch_at(0))
    return {"loss": loss, **model.backward(cache)}


def main() -> None:
    import workers

    sys.path.insert(0, str(HERE.parent))
    file, side, results = sys.argv[1:]
    with workers.as_worker() as answers:
        if side == OURS:
            first, train = first_batch, train_ours
        else:
            import numba
            import torch  # before scratchlv is imported, which says how OpenMP's threads are to wait
            from baselines import runs

            torch.set_num_threads(numba.config.NUMBA_NUM_THREADS)
            first, train = runs.first_batch, runs.with_workers(1 if side.endswith("1 worker") else 0)
        problem = pickle.loads(Path(file).read_bytes())
        workers.serve(first(problem), Path(results), answers, lambda line: train(problem, int(line)))


if __name__ == "__main__":
    main()
