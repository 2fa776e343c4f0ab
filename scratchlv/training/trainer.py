"""The training loop: batch, forward, backward, clip, step, log. It knows ``params``, ``buffers``, ``forward`` and ``backward``.

A batch is a pure function of the step number, and every kernel is deterministic: so a run that was killed and resumed from
its last checkpoint ends with the same bits as one that was never disturbed.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.device import on_gpu, place, to_backend, to_host
from scratchlv.errors import UserError
from scratchlv.ops import adam, sgd
from scratchlv.training import checkpoint
from scratchlv.training.optimisers import FlatParameters, clip_factor, learning_rate
from scratchlv.training.progress import Progress

OPTIMISERS = ("adam", "sgd")


@dataclass(frozen=True)
class TrainSettings:
    """How to train. Steps count batches; the norm of the gradient is clipped at ``clip``."""

    steps: int
    learning_rate: float = 2e-3
    warmup: int = 100
    clip: float = 1.0
    validate_every: int = 0  # steps; 0 is never
    checkpoint_seconds: float = 30.0  # at most so much work is lost
    optimiser: str = OPTIMISERS[0]


class Interrupted(Exception):
    """Ctrl-C: the step was finished and a checkpoint written."""


class Trainer:
    """Trains ``model`` on ``batch_at(step)``; ``folder`` holds log and checkpoints (None: nothing is written).

    ``validate()`` returns figures by name, ``loss`` among them; the parameters with the lowest are kept in ``folder/best``.
    """

    def __init__(
        self,
        model: Any,
        batch_at: Callable[[int], Any],
        settings: TrainSettings,
        folder: Path | None = None,
        validate: Callable[[], dict[str, float]] | None = None,
        show_progress: bool = True,
    ) -> None:
        self.model, self.batch_at, self.settings = to_backend(model), batch_at, settings
        self.folder, self.validate, self.show_progress = folder, validate, show_progress
        self.flat = FlatParameters(model.params)
        self.m, self.v = np.zeros_like(self.flat.values), np.zeros_like(self.flat.values)
        self.step = 0
        self.seconds = 0.0  # of training, over all sittings
        self.best_loss = math.inf
        self._pending: list[Any] = []  # loss and norm, by turns, of the steps on a GPU that nobody has looked at
        self._synced = math.nan, math.nan  # of the last step that was looked at

    # --- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> float:
        """Train up to ``settings.steps``; returns the loss of the last batch.

        Raises:
            UserError: the loss is not finite any more.
            Interrupted: Ctrl-C was pressed.
        """
        began, before = time.monotonic(), self.seconds
        saved_at = began
        unsaved = False
        with (
            _finish_the_step() as interrupted,
            Progress(self.settings.steps, "step", self.show_progress, self.step) as progress,
        ):
            while self.step < self.settings.steps:
                rate = self.train_step()
                unsaved = True
                self.seconds = before + time.monotonic() - began
                due = self.step % 10 == 0 or self.step == self.settings.steps
                loss, norm = self.sync_metrics() if due else self._synced
                progress.update(self.step, loss=loss)
                if due:
                    self._log(step=self.step, loss=loss, norm=norm, learning_rate=rate, seconds=self.seconds)
                if self._validation_is_due():
                    self._validate(progress)
                if time.monotonic() - saved_at > self.settings.checkpoint_seconds:
                    self.save()
                    saved_at, unsaved = time.monotonic(), False
                if interrupted.is_set():
                    self.save()
                    raise Interrupted
        if unsaved:
            self.save()
        return self.sync_metrics()[0]

    def train_step(self) -> float:
        """One step; returns its learning rate. On a GPU it is only launched: :meth:`sync_metrics` waits for it.

        Raises:
            UserError: the loss or the gradient is not finite; nothing was changed.
        """
        s = self.settings
        loss, cache = self.model.forward(self.batch_at(self.step))
        self._check_finite("the loss", loss, self.step + 1)
        grads, norm = self.flat.collect(self.model.backward(cache))
        self._check_finite("the norm of the gradient", norm, self.step + 1)
        rate = learning_rate(self.step, s.steps, s.learning_rate, s.warmup)
        self.step += 1
        scale = clip_factor(norm, s.clip)
        if s.optimiser == "sgd":
            sgd.step(self.flat.values, grads, lr=rate, grad_scale=scale)
        else:
            adam.step(self.flat.values, grads, self.m, self.v, self.step, lr=rate, grad_scale=scale)
        if on_gpu(loss):
            self._pending += [loss, norm]
        else:
            self._synced = float(loss), norm
        return rate

    def sync_metrics(self) -> tuple[float, float]:
        """The loss of the last step, and the norm of its gradient before it was clipped.

        Raises:
            UserError: on a GPU, a step since the last look had a loss or a gradient that is not finite; it changed nothing.
        """
        if self._pending:
            figures = to_host(np.stack(self._pending)).reshape(-1, 2).tolist()
            self._pending.clear()
            for step, (loss, norm) in enumerate(figures, self.step - len(figures) + 1):
                self._check_finite("the loss", loss, step)
                self._check_finite("the norm of the gradient", norm, step)
                self._synced = loss, norm
        return self._synced

    def _check_finite(self, what: str, value: Any, step: int) -> None:
        """What is on a GPU still is checked by :meth:`sync_metrics`, when it has come back."""
        if not on_gpu(value) and not math.isfinite(value):
            kept = f"the last checkpoint in {self.folder} is untouched; " if self.folder else ""
            raise UserError(f"{what} became {value} at step {step}; {kept}try a lower --set learning_rate=…")

    def _validation_is_due(self) -> bool:
        every = self.settings.validate_every
        return self.validate is not None and every > 0 and (self.step % every == 0 or self.step == self.settings.steps)

    def _validate(self, progress: Progress) -> None:
        assert self.validate is not None
        self.sync_metrics()
        figures = self.validate()
        self._log(step=self.step, validation=figures)
        progress.note(f"step {self.step}: validation " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))
        if self.folder is not None and figures["loss"] < self.best_loss:
            self.best_loss = figures["loss"]
            checkpoint.save(
                self.folder / "best", self._model_tensors(), {"step": self.step, "validation": figures}, keep=1
            )

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
        """A model whose gradients are right can learn one batch by heart; nothing is written."""
        batch = self.batch_at(0)
        self.batch_at, self.folder, self.validate = (lambda step: batch), None, None
        self.settings = TrainSettings(steps, self.settings.learning_rate, min(20, steps), self.settings.clip)
        first = float(self.model.forward(batch, train=False)[0])
        last = self.run()
        verdict = "it can learn" if last < 0.1 * first else "it did not: suspect a gradient, or the learning rate"
        return f"one batch, {steps} steps: loss {first:.3f} -> {last:.4f}: {verdict}"

    # --- what is kept --------------------------------------------------------------------------------------------

    def save(self) -> None:
        if self.folder is None:
            return
        self.sync_metrics()
        tensors = {**self._model_tensors(), "adam/m": to_host(self.m), "adam/v": to_host(self.v)}
        best = None if math.isinf(self.best_loss) else self.best_loss
        checkpoint.save(self.folder, tensors, {"step": self.step, "seconds": self.seconds, "best_loss": best})

    def resume(self, step: int | None = None) -> None:
        """Take up the newest checkpoint of ``folder`` (or that of ``step``), and drop what the log says after it."""
        assert self.folder is not None
        if not checkpoint.latest_steps(self.folder):
            return  # killed before the first checkpoint: begin again
        tensors, state = checkpoint.load(self.folder, step)
        load_model_tensors(self.model, tensors, self.folder)
        self.m[:], self.v[:] = place(tensors["adam/m"], self.m), place(tensors["adam/v"], self.v)
        self.step, self.seconds = state["step"], state["seconds"]
        self.best_loss = math.inf if state["best_loss"] is None else state["best_loss"]
        log = self.folder / "log.jsonl"
        if log.exists():
            kept = [line for line in read_log(log) if line["step"] <= self.step]
            log.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def _model_tensors(self) -> dict[str, np.ndarray]:
        return {
            **{f"params/{name}": to_host(array) for name, array in self.model.params.items()},
            **{f"buffers/{name}": to_host(array) for name, array in self.model.buffers.items()},
        }

    def _log(self, **entry: Any) -> None:
        if self.folder is not None:
            with open(self.folder / "log.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps(entry) + "\n")


def load_model_tensors(model: Any, tensors: dict[str, np.ndarray], where: Path) -> None:
    """Copy parameters and buffers into a model.

    Raises:
        UserError: a tensor is missing or has another shape; ``where`` names the checkpoint.
    """
    for kind, arrays in (("params", model.params), ("buffers", model.buffers)):
        for name, array in arrays.items():
            found = tensors.get(f"{kind}/{name}")
            if found is None or found.shape != array.shape:
                has = "is missing" if found is None else f"has shape {found.shape}, not {array.shape}"
                raise UserError(f"{where}: {name} {has}; the checkpoint belongs to another model")
            array[...] = place(found, array)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL log; a last line that was cut off is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


@contextmanager
def _finish_the_step() -> Iterator[threading.Event]:
    """Ctrl-C and a polite kill set the event instead of breaking into a half-made step; a second one does break in."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
