"""What training is in every task: settings, a run's folder, the checks before the first step, the trainer, resuming."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from scratchlv import __version__
from scratchlv.data.scenes import World
from scratchlv.device import to_backend
from scratchlv.errors import UserError
from scratchlv.tasks import TASKS, run_folder
from scratchlv.tasks.compiling import compiling_together
from scratchlv.training.optimisers import OPTIMISERS
from scratchlv.training.trainer import Trainer, TrainSettings, load_model_tensors

Say = Callable[[str], None]
_POSITIVE = ("learning_rate", "clip")  # these may be any number above 0, the rest are counts
_ZERO_OR_MORE = ("warmup", "validate_every", "attention_loss")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What ``--set`` can change in every task; a preset is a set of values."""

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 100  # steps
    clip: float = 1.0
    optimiser: str = "adam"
    dropout: float = 0.0
    validate_every: int = 0  # steps
    # Scenes
    n_train: int = 20_000
    n_val: int = 500
    least_objects: int = 3
    most_objects: int = 4

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, str):
                continue
            if name in _POSITIVE:
                right, wanted = 0 < value < math.inf, "above 0"
            elif name in ("dropout", "noise"):
                right, wanted = 0 <= value < 1, "0 or more and below 1"
            elif name in _ZERO_OR_MORE:
                right, wanted = value >= 0, "0 or more"
            else:
                right, wanted = value >= 1, "1 or more"
            if not right:
                raise UserError(f"{name}={value}: it must be {wanted}")
        if self.optimiser not in OPTIMISERS:
            raise UserError(f"optimiser={self.optimiser}: it must be {' or '.join(OPTIMISERS)}")
        try:
            World((self.least_objects, self.most_objects))
        except ValueError as error:
            raise UserError(f"least_objects, most_objects: {error}") from None

    @property
    def world(self) -> World:
        """What scenes may hold."""
        return World((self.least_objects, self.most_objects))


S = TypeVar("S", bound=Settings)


@dataclass
class Run(Generic[S]):
    """A trained model with all that is needed to use it; tasks add their vocabularies."""

    config: dict[str, Any]
    settings: S
    model: Any
    folder: Path | None = field(default=None, kw_only=True)  # where it was loaded from

    @property
    def seed(self) -> int:
        return self.config["seed"]


class Job(NamedTuple):
    """What a task gives the trainer."""

    run: Run
    batch_at: Callable[[int], Any]
    validate: Callable[[], dict[str, float]]
    choices: int  # words or answers: a model that knows nothing loses their logarithm
    finish: Callable[[Path], None] | None = None  # what is left to do in the run's folder when the model is trained


def new_config(
    task: str, data: str, model: str, preset: str, seed: int, settings: Settings, **more: Any
) -> dict[str, Any]:
    """The config of a new run: all that it will ever be told.

    Raises:
        UserError: the task has no such model.
    """
    if model not in TASKS[task].models:
        raise UserError(f"--model {model}: {TASKS[task].title} has {', '.join(TASKS[task].models)}")
    return {
        "task": task,
        "scratchlv": __version__,
        "data": data,
        "model": model,
        "preset": preset,
        "seed": seed,
        **more,
        "settings": dataclasses.asdict(settings),
    }


def preset_of(presets: dict[tuple[str, str], S], kind: str, preset: str, overrides: list[str]) -> S:
    """The settings of a preset of this kind of data, with ``key=value`` strings applied.

    Raises:
        UserError: there is no such preset, or an assignment is wrong.
    """
    if (kind, preset) not in presets:
        there = ", ".join(name for data, name in presets if data == kind)
        raise UserError(f"--preset {preset}: for --data {kind} there is {there}")
    return run_folder.override(presets[kind, preset], overrides)


def train(
    folder: Path,
    config: dict[str, Any] | None = None,
    *,
    overfit_one_batch: bool = False,
    show_progress: bool = True,
    say: Say = print,
) -> Any:
    """Train the run of ``config`` into ``folder``, or, without one, take up the interrupted run there. Returns the run.

    Raises:
        UserError: the user can mend it.
        Interrupted: Ctrl-C; a checkpoint was written.
    """
    resume = config is None
    config = run_folder.read_config(folder) if config is None else config
    if not resume and not overfit_one_batch:
        run_folder.refuse_taken(folder)  # before the data is made ready, which can take minutes
    with compiling_together(say, config["task"], config["model"]):
        if overfit_one_batch:
            with tempfile.TemporaryDirectory() as scratch:  # nothing of this is kept
                return _train(Path(scratch) / "run", config, False, True, show_progress, say)
        return _train(folder, config, resume, False, show_progress, say)


def _train(
    folder: Path, config: dict[str, Any], resume: bool, overfit_one_batch: bool, show_progress: bool, say: Say
) -> Any:
    job: Job = TASKS[config["task"]].load().prepare(config, show_progress, say, folder)
    s = job.run.settings
    trainer = Trainer(
        job.run.model,
        job.batch_at,
        TrainSettings(s.steps, s.learning_rate, s.warmup, s.clip, s.validate_every, optimiser=s.optimiser),
        folder,
        job.validate,
        show_progress,
    )
    if overfit_one_batch:
        say(trainer.check_initial_loss(job.choices))
        say(trainer.overfit_one_batch())
        return job.run
    if resume:
        trainer.resume()
        say(f"resuming {folder} at step {trainer.step} of {s.steps}")
    else:
        run_folder.create(folder, config)
        say(trainer.check_initial_loss(job.choices))
    trainer.run()
    if job.finish is not None:
        job.finish(folder)
    return job.run


def load(folder: Path, *tasks: str, step: int | None = None) -> Any:
    """A trained run of one of these tasks (of any, when none is given), from the best checkpoint it has.

    Raises:
        UserError: no run, one of another task, no checkpoint, or a damaged one.
    """
    config = run_folder.read_config(folder, *tasks)
    try:
        run = TASKS[config["task"]].load().new(config)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'}: {error} is missing or wrong; this run cannot be used") from None
    tensors, _ = run_folder.load_weights(folder, step)
    load_model_tensors(to_backend(run.model), tensors, folder)
    run.folder = folder
    return run


def check_pictures(model: str, settings: Settings) -> None:
    """Refuse batches of one picture for a model whose image feature is normalised over a batch."""
    if model in ("naive", "shortcut") and min(settings.batch, settings.n_train) < 2:
        raise UserError(f"--model {model} needs batches of 2 pictures or more; raise batch and n_train")


def check_n(n: int | None) -> None:
    """Refuse a ``--n`` below 1."""
    if n is not None and n < 1:
        raise UserError(f"--n {n}: give 1 or more")


def check_split(split: str, splits: Any) -> None:
    """Refuse a ``--split`` that the data does not have."""
    if split not in splits:
        raise UserError(f"--split {split}: this data has {', '.join(splits)}")
