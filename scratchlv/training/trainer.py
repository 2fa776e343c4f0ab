"""The training loop: batch, forward, backward, clip, step, log. It knows ``params``, ``buffers``, ``forward`` and ``backward``.

A batch is a pure function of the step number, and every kernel is deterministic: so a run that was killed and resumed from
its last checkpoint ends with the same bits as one that was never disturbed.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import on_gpu, to_backend, to_host
from scratchlv.errors import UserError
from scratchlv.parallel.team import team
from scratchlv.training import checkpoint, old_runs
from scratchlv.training.averaging import Averaging, WeightAverage
from scratchlv.training.copy_ahead import CopyAhead
from scratchlv.training.data_parallel import SharedSteps, clip_parts, memory_of
from scratchlv.training.interrupts import finish_the_step
from scratchlv.training.log import Log
from scratchlv.training.optimisers import OPTIMISERS, Decay, FlatParameters, learning_rate
from scratchlv.training.progress import Progress
from scratchlv.training.step_graph import StepGraphs, step_graphs_asked_for
from scratchlv.training.step_metrics import StepMetrics


@dataclass(frozen=True)
class TrainSettings:
    """How to train. Steps count batches; the norm of the gradient is clipped at ``clip``."""

    steps: int
    learning_rate: float = 2e-3
    warmup: int = 100
    clip: float = 1.0
    validate_every: int = 0  # steps; 0 is never
    patience: int = 0  # early stopping: training ends after so many validations without a lower loss; 0: it does not
    checkpoint_seconds: float = 30.0  # at most so much work is lost
    optimiser: str = next(iter(OPTIMISERS))
    momentum: float = 0.0  # of the optimisers that take one
    nesterov: bool = False
    decay: Decay | None = None  # of the learning rate, in the place of the cosine
    averaging: Averaging | None = None  # of the weights
    slow: tuple[str, float] | None = None  # parameters whose names begin so learn at that share of the learning rate


class Interrupted(Exception):
    """Ctrl-C: the step was finished and a checkpoint written."""


class Trainer:
    """Trains ``model`` on ``batch_at(step)``; ``folder`` holds log and checkpoints (None: nothing is written).

    ``validate()`` returns figures by name; the parameters with the lowest ``loss`` are kept in ``folder/best``, or, where
    there is a ``goal``, those with the largest figure of that name: then a reward is learned, and the loss is minus its mean.
    ``kept`` goes into the state of each checkpoint besides: what the run is.

    Processes that work together (:func:`scratchlv.parallel.team.team`) each have a trainer, with ``batch_at(step, share)`` and a
    model whose backward pass says which gradients are final. All take the same steps; the first alone writes.
    """

    def __init__(
        self,
        model: Any,
        batch_at: Callable[..., Any],
        settings: TrainSettings,
        folder: Path | None = None,
        validate: Callable[[], dict[str, float]] | None = None,
        show_progress: bool = True,
        goal: str | None = None,
        kept: dict[str, Any] | None = None,
    ) -> None:
        self.goal = goal
        self.model, self.batch_at, self.settings = to_backend(model), batch_at, settings
        self.folder, self.validate = folder, validate
        self.team = team()
        self.flat = FlatParameters(model.params, memory_of(self.team, model))
        optimiser = OPTIMISERS[settings.optimiser]
        how = {name: getattr(settings, name) for name in optimiser.SETTINGS}
        rates = None if settings.slow is None else self.flat.rates(*settings.slow)
        self.optimiser = optimiser(self.flat.values, rates, **how)
        self.average = settings.averaging and WeightAverage(self.flat.values, settings.averaging)
        self.losses: list[float] = []  # of all validations
        self.metrics = StepMetrics(folder)
        self.kept = kept or {}
        self.shared = SharedSteps(self.team, self.model, self.flat, folder) if self.team.active else None
        self._copied = CopyAhead(batch_at) if on_gpu(self.flat.values) and self.shared is None else None
        graphs = step_graphs_asked_for() and self._copied is not None
        self._computed = StepGraphs(self._compute, model) if graphs else self._compute
        self.show_progress = show_progress and self.team.rank == 0
        self.log = None if folder is None or self.team.rank != 0 else Log(folder, self._warn)
        self.step = 0
        self.seconds = 0.0  # of training, over all sittings
        self.best_loss = math.inf
        self.waited = 0  # validations since the best

    # --- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> float:
        """Train up to ``settings.steps``; returns the loss of the last batch.

        Raises:
            UserError: the loss is not finite any more.
            Interrupted: Ctrl-C was pressed.
        """
        if self.shared is None:
            return self._run()
        with self.shared.all_or_none():
            loss = self._run()
            self.shared.check_alike()
        self._log(step=self.step, communication=self.shared.summary())
        return loss

    def _run(self) -> float:
        steps = self.settings.steps
        began = time.monotonic() - self.seconds
        saved, saved_at = self.step, time.monotonic()

        def asked() -> tuple[bool, bool]:
            """Whether to stop, and whether a checkpoint is due."""
            return interrupted.is_set(), time.monotonic() - saved_at > self.settings.checkpoint_seconds

        with finish_the_step() as interrupted, Progress(steps, "step", self.show_progress, self.step) as progress:
            while self.step < steps and not self._is_patience_over():
                if self.shared is not None:
                    self.shared.ask(*asked())
                rate = self.train_step()
                self.seconds = time.monotonic() - began
                self._report(rate, progress)
                if self._validation_is_due():
                    progress.note(self.validate_now())
                stop, due = asked() if self.shared is None else self.shared.agreed()
                if stop or due:
                    self.save()
                    saved, saved_at = self.step, time.monotonic()
                if stop:
                    raise Interrupted
        if saved < self.step:
            self.save()
        return self.sync_metrics()[0]

    def train_step(self) -> float:
        """One step; returns its learning rate. On a GPU it is only launched: :meth:`sync_metrics` waits for it.

        Raises:
            UserError: the loss or the gradient is not finite; nothing was changed.
        """
        s = self.settings
        if self.shared is None:
            batch_at = self._copied or self.batch_at
            loss, norm, scale = self._computed(batch_at(self.step))
        else:
            loss, norm, scale = self.shared.step(self.batch_at, self.step, s.clip)
        self.metrics.add(self.step + 1, loss, norm)
        rate = learning_rate(self.step, s.steps, s.learning_rate, s.warmup, s.decay)
        if self.shared is None:
            self.optimiser.step(self.flat.grads, lr=rate, grad_scale=scale)
        else:
            self.shared.update(self.optimiser, lr=rate, grad_scale=scale)
        self.step += 1
        if self._copied is not None and self.step < s.steps:
            self._copied.begin(self.step)
        if self.average is not None:
            self.average.after_step(self.step, self.losses)
        return rate

    def _compute(self, batch: Any) -> tuple[Any, Any, Any]:
        """The loss of a batch, the norm of its gradient, which goes to ``flat.grads``, and the factor that clips it."""
        loss, cache = self.model.forward(batch)
        gradients = self.model.backward(cache)
        clip_parts(self.model, gradients)
        _, norm, scale = self.flat.collect(gradients, self.settings.clip)
        return loss, norm, scale

    def sync_metrics(self) -> tuple[float, float]:
        """The loss of the last step, and the norm of its gradient before it was clipped.

        Raises:
            UserError: on a GPU, a step since the last sync had a loss or a gradient that is not finite; it changed nothing.
        """
        return self.metrics.sync()

    def _report(self, rate: float, progress: Progress) -> None:
        if self.shared is not None and self.shared.notes:
            self._name_slow(self.shared.notes.pop())
        due = self.step % 10 == 0 or self.step == self.settings.steps
        loss, norm = self.sync_metrics() if due else self.metrics.last
        progress.update(self.step, **({"loss": loss} if self.goal is None else {"reward": -loss}))
        if due:
            self._log(step=self.step, loss=loss, norm=norm, learning_rate=rate, seconds=self.seconds)

    def _name_slow(self, note: dict[str, Any]) -> None:
        self._log(step=self.step, communication=note)
        if self.log is not None:
            waiting = ", ".join(f"{share:.0%}" for share in note["waiting"])
            process = f"process {note['slow']} on {note['host']}"
            self._warn(f"{process} takes {note['times']:.1f} times as long as the others, who wait for it ({waiting})")

    def _validation_is_due(self) -> bool:
        every = self.settings.validate_every
        return self.validate is not None and every > 0 and (self.step % every == 0 or self.step == self.settings.steps)

    def _is_patience_over(self) -> bool:
        return 0 < self.settings.patience <= self.waited

    def validate_now(self) -> str:
        """Validate, log it, and keep the parameters if they are the best so far; returns the figures, to be shown.

        Where weights are averaged, that is done with their mean.
        """
        settle = (lambda: None) if self.shared is None else self.shared.settle
        with nullcontext() if self.average is None else self.average.in_place(settle):
            return self._validate()

    def _validate(self) -> str:
        assert self.validate is not None
        self.sync_metrics()
        figures = self.validate()
        self._log(step=self.step, validation=figures)
        loss = figures["loss"] if self.goal is None else -figures[self.goal]
        self.losses.append(loss)
        self.waited = 0 if loss < self.best_loss else self.waited + 1
        self.best_loss = min(loss, self.best_loss)
        if self.folder is not None and self.waited == 0:
            state = {"step": self.step, "validation": figures, **self.kept}
            self._write(self.folder / "best", self._tensors(), state, keep=1)
        return f"step {self.step}: validation " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items())

    # --- checks that learners should make a habit --------------------------------------------------------------------

    def check_initial_loss(self, vocabulary: int) -> str:
        """Before any training the model knows nothing: its loss should be about ln V."""
        loss = float(self.model.forward(self.batch_at(0), train=False)[0])
        expected = math.log(vocabulary)
        verdict = (
            "as it should be" if abs(loss - expected) < 0.15 * expected else "far off: look at the initial weights"
        )
        return f"initial loss {loss:.3f}, ln V = {expected:.3f}: {verdict}"

    def overfit_one_batch(self, steps: int = 200) -> str:
        """A model whose gradients are right can learn one batch by heart; a copy does, and nothing is written."""
        batch, model = self.batch_at(0), copy.deepcopy(self.model)
        settings = dataclasses.replace(self.settings, steps=steps, warmup=min(20, steps))
        first = float(model.forward(batch, train=False)[0])
        last = Trainer(model, lambda step: batch, settings, show_progress=self.show_progress).run()
        verdict = "it can learn" if last < 0.1 * first else "it did not: suspect a gradient, or the learning rate"
        return f"one batch, {steps} steps: loss {first:.3f} -> {last:.4f}: {verdict}"

    # --- what is kept --------------------------------------------------------------------------------------------

    def save(self) -> None:
        if self.folder is None:
            return
        self.sync_metrics()
        if self.shared is not None:
            self.shared.complete(self.optimiser)
        remembered = {name: self.flat.packed(array) for name, array in self.optimiser.state_tensors().items()}
        tensors = self._tensors() | remembered
        best = None if math.isinf(self.best_loss) else self.best_loss
        state = {"step": self.step, "seconds": self.seconds, "best_loss": best, "waited": self.waited, **self.kept}
        if self.average is not None:
            state |= {"averaged": self.average.n, "losses": self.losses}
            if self.average.n:
                mean = self.flat.views(self.average.mean)
                tensors |= {f"{AVERAGE}{name}": to_host(array) for name, array in mean.items()}
        self._write(self.folder, tensors, state)

    def _tensors(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of the model; of what processes have some rows of each, all."""
        gathered = {} if self.shared is None else {f"buffers/{k}": v for k, v in self.shared.gathered_rows().items()}
        return model_tensors(self.model) | gathered

    def _write(self, folder: Path, tensors: dict[str, np.ndarray], state: dict[str, Any], **more: Any) -> None:
        """A checkpoint, by the first process; where it cannot be written, all end."""
        self.team.first(lambda: checkpoint.save(folder, tensors, state, **more))

    def resume(self, step: int | None = None) -> None:
        """Take up the newest checkpoint of ``folder`` (or that of ``step``), and drop what the log says after it."""
        assert self.folder is not None
        folder = self.folder
        if self.team.broadcast(checkpoint.latest_steps(folder)):  # else it was killed before the first: begin again
            tensors, state = self.team.together(lambda: checkpoint.load(folder, step))
            load_model_tensors(self.model, tensors, self.folder)
            remembered = {name: self.flat.unpacked(array) for name, array in tensors.items()}
            self.optimiser.load_state_tensors(remembered, state["step"], self.folder)
            try:
                best = state["best_loss"]
                self.step, self.seconds = state["step"], float(state["seconds"])
                self.best_loss = math.inf if best is None else float(best)
                if self.average is not None:
                    self.average.n, self.losses = int(state["averaged"]), [float(loss) for loss in state["losses"]]
                self.waited = int(state.get("waited", 0))
            except (KeyError, TypeError, ValueError) as error:
                problem = f"the checkpoint of step {state['step']} in {self.folder} is not that of a training ({error})"
                raise UserError(f"{problem}; train again, or restore it from a copy") from None
            if self.average is not None and self.average.n:
                mean = {f"{AVERAGE}{name}": array for name, array in self.flat.views(self.average.mean).items()}
                checkpoint.restore(mean, tensors, self.folder)
        if self.shared is not None:
            self.shared.begin()
        if self.log is not None:
            self.log.rewind(self.step)

    def _log(self, **entry: Any) -> None:
        if self.log is not None:
            self.log.add(entry)

    def _warn(self, line: str) -> None:
        print(f"note: {line}", file=sys.stderr)


AVERAGE = "average/"  #: before the names of the averaged parameters in a checkpoint


def averaged(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a checkpoint of a training keeps, with the averaged parameters in the place of the last ones, if there are any."""
    means = {f"params/{name.removeprefix(AVERAGE)}": mean for name, mean in tensors.items() if name.startswith(AVERAGE)}
    return tensors | means


def model_tensors(model: Any) -> dict[str, np.ndarray]:
    """What a checkpoint keeps of a model: parameters and buffers, by name."""
    return {name: to_host(array) for name, array in _model_arrays(model).items()}


def load_model_tensors(model: Any, tensors: dict[str, np.ndarray], where: Path) -> None:
    """Copy parameters and buffers into a model.

    Raises:
        UserError: a tensor is missing or has another shape; ``where`` names the checkpoint.
    """
    checkpoint.restore(_model_arrays(model), old_runs.renamed_tensors(tensors), where)


def _model_arrays(model: Any) -> dict[str, Array]:
    kinds = {"params": model.params, "buffers": model.buffers}
    return {f"{kind}/{name}": array for kind, arrays in kinds.items() for name, array in arrays.items()}
