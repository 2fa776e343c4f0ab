"""Loss and gradient norm, step by step: what is not finite ends the training, and nothing waits for a GPU before it must."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.device import on_gpu, to_host
from scratchlv.parallel.team import SharedError


class StepMetrics:
    """``last`` is the loss of the last step that was checked, and the norm of its gradient before it was clipped.

    ``folder`` holds the checkpoints that a refusal speaks of; None: there are none.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.last = math.nan, math.nan
        self._steps: list[int] = []  # on a GPU, not checked yet
        self._pending: list[Any] = []  # their losses and norms, by turns

    def add(self, step: int, loss: Any, norm: Any) -> None:
        """Note those of ``step``; on a GPU they stay there until :meth:`sync`.

        Raises:
            UserError: one is not finite.
        """
        if on_gpu(loss):
            self._steps.append(step)
            self._pending += [loss, norm]
        else:
            self._check(step, float(loss), float(norm))

    def sync(self) -> tuple[float, float]:
        """``last``, after waiting for what a GPU is at.

        Raises:
            UserError: one since the last sync is not finite.
        """
        if self._pending:
            steps, values = self._steps, to_host(np.stack(self._pending)).reshape(-1, 2).tolist()
            self._steps, self._pending = [], []
            for step, (loss, norm) in zip(steps, values, strict=True):
                self._check(step, loss, norm)
        return self.last

    def _check(self, step: int, loss: float, norm: float) -> None:
        for what, value in (("the loss", loss), ("the norm of the gradient", norm)):
            if not math.isfinite(value):
                kept = f"the last checkpoint in {self.folder} is untouched; " if self.folder else ""
                raise SharedError(f"{what} became {value} at step {step}; {kept}try a lower --set learning_rate=…")
        self.last = loss, norm
