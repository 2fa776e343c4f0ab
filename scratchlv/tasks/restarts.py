"""A model trained several times, from other parameters each time, and the one kept that fits its training data best.

Memory networks are trained so (Sukhbaatar et al. 2015, section 4.1): "the training was repeated 10 times with different random
initializations, and the one with the lowest training error was picked", for some stay in poor minima. Data that is validated on,
or that figures are of, has no part in the choice.

They are trained side by side in ``starts`` of the run's folder, with checkpoints there: an interrupted run goes on where it was.
Processes that work together share the batches of all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlv.models.side_by_side import SideBySide
from scratchlv.parallel.team import team
from scratchlv.training import checkpoint
from scratchlv.training.trainer import Trainer, TrainSettings, load_model_tensors, model_tensors


@dataclass(frozen=True)
class Restarts:
    """How they are trained.

    ``training_loss`` of one network is what they are chosen by. Where ``linear`` is given they first learn by these settings
    without their softmax, and then with it: a linear start, which ends early when ``validate`` has found no lower loss for long.
    """

    begin: Callable[[], SideBySide]
    batch_at: Callable[..., Any]
    training_loss: Callable[[Any], float]
    validate: Callable[[Any], dict[str, float]]
    settings: TrainSettings
    linear: TrainSettings | None = None

    def train(self, trainer: Trainer, show_progress: bool, say: Callable[[str], None]) -> None:
        """Train all, and give ``trainer`` the best: its model, the step of the last, and a checkpoint."""
        assert trainer.folder is not None
        networks, seconds = self._train_all(trainer.folder / "starts", show_progress, say)
        each = [networks.copy(r) for r in range(networks.copies)]
        losses = [self.training_loss(network) for network in each]
        best = losses.index(min(losses))
        say(f"training losses of {len(each)}: {', '.join(f'{loss:.4f}' for loss in losses)}; number {best + 1} is kept")
        load_model_tensors(trainer.model, model_tensors(each[best]), trainer.folder)
        trainer.step, trainer.seconds = self.settings.steps, seconds
        say(trainer.validate_now())
        trainer.save()

    def _train_all(self, folder: Path, show_progress: bool, say: Callable[[str], None]) -> tuple[SideBySide, float]:
        """The networks, trained, and the seconds that it took."""
        networks, seconds = self.begin(), 0.0
        team().first(lambda: checkpoint.make_folder(folder))
        if self.linear is not None and not team().broadcast(checkpoint.latest_steps(folder)):
            networks.linear = True
            team().first(lambda: checkpoint.make_folder(folder / "linear"))
            validate = lambda: self.validate(networks)  # noqa: E731
            first = Trainer(networks, self.batch_at, self.linear, folder / "linear", validate, show_progress)
            seconds = _train(first)
            networks.linear = False
            say(f"the softmax is put back after {first.step} steps")
        then = Trainer(networks, self.batch_at, self.settings, folder, show_progress=show_progress)
        return networks, seconds + _train(then)


def _train(trainer: Trainer) -> float:
    trainer.resume()  # where it was interrupted
    trainer.run()
    return trainer.seconds
