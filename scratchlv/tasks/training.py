"""What training is in every task: a run's folder, the checks before the first step, the trainer, resuming."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from scratchlv.data.vocabulary import Vocabulary, unknown_share
from scratchlv.device import to_backend
from scratchlv.errors import UserError
from scratchlv.models.inference import make_ready
from scratchlv.parallel.shares import ALL
from scratchlv.parallel.team import team
from scratchlv.tasks import TASKS, run_folder, separately
from scratchlv.tasks.compiling import compiling_together
from scratchlv.tasks.records import MOST_SCENES, Config, Fitted, Settings, WordSettings
from scratchlv.tasks.restarts import Restarts
from scratchlv.training.averaging import Averaging
from scratchlv.training.optimisers import Decay
from scratchlv.training.trainer import Trainer, TrainSettings, load_model_tensors
from scratchlv.vision.finetuning import PREFIX

Say = Callable[[str], None]
_MUCH = 1 / 3  # of all words: so many unknown ones are worth advice
C = TypeVar("C", bound=Config)
F = TypeVar("F", bound=Fitted)


@dataclass
class Run(Generic[C, F]):
    """A model with all that is needed to use it."""

    config: C
    fitted: F
    model: Any
    folder: Path | None = None  # where it was loaded from

    @property
    def vocabulary(self) -> Vocabulary:
        return self.fitted.vocabulary

    @property
    def choices(self) -> int:
        """Words, or answers: a model that knows nothing loses their logarithm."""
        return len(self.vocabulary)


class Job(NamedTuple):
    """What a task gives the trainer."""

    run: Run
    batch_at: Callable[..., Any]  # of a step; and of a share, where several processes work together
    validate: Callable[[], dict[str, float]]
    finish: Callable[[Path], None] | None = None  # what is left to do in the run's folder when the model is trained
    learner: Any = None  # what is trained, where it is not the run's model itself: it has the same params and buffers
    goal: str | None = None  # see Trainer; a run that has one begins with a trained model
    restarts: Restarts | None = None  # what is trained several times, and kept once


def job(run: Run, train_set: Any, val_set: Any, **more: Any) -> Job:
    """The job of sets that know how they are cut into batches, and the loss of a model; ``more`` is for :class:`Job`."""
    size, seed = run.config.settings.batch, run.config.seed
    whole = Job(
        run,
        batch_at=lambda step, share=ALL: train_set.training_batch(step, size, seed, share),
        validate=lambda: {"loss": val_set.mean_loss(run.model)},
    )._replace(**more)
    settings = run.config.settings
    if isinstance(settings, WordSettings) and settings.scheduled_sampling:
        batch_at = whole.batch_at
        whole = whole._replace(
            batch_at=lambda step, share=ALL: batch_at(step, share)._replace(
                scheduled_sampling=settings.own_word_probability(step)
            )
        )
    return whole


def new(config: Config, fitted: Fitted) -> Any:
    """A run of the task, with fresh parameters."""
    module = TASKS[config.task].load()
    return module.Run(config, fitted, module.build(config, fitted))


def train_settings(settings: Settings) -> TrainSettings:
    """What of a run's settings is for the trainer."""
    s = settings
    return TrainSettings(
        s.steps,
        s.learning_rate,
        s.warmup,
        s.clip,
        s.validate_every,
        optimiser=s.optimiser,
        momentum=s.momentum,
        nesterov=s.nesterov,
        decay=Decay(s.decay, s.decay_from, s.decay_every) if s.decay else None,
        averaging=Averaging(s.average_from, s.average_after) if s.average_from or s.average_after else None,
        slow=(PREFIX, s.finetune_rate) if hasattr(s, "finetune_rate") else None,
    )


def train(
    folder: Path,
    config: Config | None = None,
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
    show_progress = show_progress and team().rank == 0
    if overfit_one_batch:
        config, fitted = (config, None) if config is not None else run_folder.read(folder)
        # a smoothed loss does not fall to 0, however well the batch is known; nor does one with a penalty
        config = replace(config, settings=config.settings.unregularised())
        separately.refuse(config, "--overfit-one-batch")
        prepare = TASKS[config.task].load().prepare
        with compiling_together(say, config.task, config.model), tempfile.TemporaryDirectory() as scratch:
            return _overfit(prepare(config, fitted, show_progress, say, Path(scratch)), show_progress, say)
    resume, fitted = config is None, None
    with run_folder.training_in(folder, new=not resume):
        if config is None:
            config, fitted = team().together(lambda: run_folder.read(folder))
            team().first(lambda: run_folder.restore(folder, config, fitted))
        if config.separate:
            return separately.train(folder, config, fitted, say)
        prepare = TASKS[config.task].load().prepare
        with compiling_together(say, config.task, config.model):
            try:
                job = team().together(lambda: prepare(config, fitted, show_progress, say, folder))
            except (TypeError, ValueError) as error:
                if not resume:
                    raise
                raise UserError(f"{folder / 'config.json'} is wrong ({error}); this run cannot go on") from None
            return _train(job, folder, resume, show_progress, say)


def _overfit(job: Job, show_progress: bool, say: Say) -> Run:
    trainer = Trainer(job.run.model, job.batch_at, train_settings(job.run.config.settings), show_progress=show_progress)
    say(trainer.check_initial_loss(job.run.choices))
    say(trainer.overfit_one_batch())
    return job.run


def _train(job: Job, folder: Path, resume: bool, show_progress: bool, say: Say) -> Run:
    run = job.run
    settings = train_settings(run.config.settings)
    kept = {run_folder.KEPT: run_folder.records_of(run.config, run.fitted)}
    trainer = Trainer(
        job.learner or run.model, job.batch_at, settings, folder, job.validate, show_progress, job.goal, kept
    )
    if resume:
        trainer.resume()
        say(f"resuming {folder} at step {trainer.step} of {settings.steps}")
    else:
        team().first(lambda: run_folder.create(folder, run.config, run.fitted))
    if job.goal is not None and trainer.step == 0:
        say(trainer.validate_now())  # what it begins with may be the best that there will be
    elif not resume:
        say(trainer.check_initial_loss(run.choices))
    if job.restarts is not None and trainer.step == 0:
        job.restarts.train(trainer, show_progress, say)
    trainer.run()
    if job.finish is not None:
        job.finish(folder)
    return run


def load(folder: Path, *tasks: str, step: int | None = None, weights: str = "float32") -> Any:
    """A trained run of one of these tasks (of any, when none is given), from the best checkpoint it has, to be used.

    ``weights`` is what those are kept in that every word is multiplied by: see :mod:`scratchlv.models.inference`.

    Raises:
        UserError: no run, one of another task, no checkpoint, a damaged one, or one with weights that the kind cannot hold.
    """
    config, fitted = run_folder.read(folder, *tasks)
    if config.separate:
        return TASKS[config.task].load().Run(config, fitted, None, folder)
    try:
        run = new(config, fitted)
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} is wrong ({error}); this run cannot be used") from None
    tensors, _ = run_folder.load_weights(folder, step)
    load_model_tensors(to_backend(run.model), tensors, folder)
    try:
        make_ready(run.model, weights)
    except ValueError as error:
        raise UserError(f"--weights {weights}: {folder}: {error}") from None
    run.folder = folder
    return run


def check_pictures(model: str, settings: Settings) -> None:
    """Refuse batches of one picture for a model whose image feature is normalised over a batch."""
    if model in ("naive", "shortcut") and min(settings.batch, settings.n_train) < 2:
        raise UserError(f"--model {model} needs batches of 2 pictures or more; raise batch and n_train")


def say_all(say: Say, notes: Iterable[str]) -> None:
    """Say each of several sentences."""
    for note in notes:
        say(note)


def say_markers(say: Say, texts: int) -> None:
    """Say of how many texts markers were left out, if there were any."""
    if texts:
        say(
            f"{texts:,} texts stand between markers such as <start> and <end>, which are left out: the model has its own"
        )


def say_unknown(say: Say, of: str, sequences: Iterable[Sequence[int]], instead: str = "") -> None:
    """Say which share of the words of ``of``, given as their numbers, is unknown; and what to do ``instead`` if it is large."""
    share = unknown_share(sequences)
    if share:
        say(f"{share:.1%} of the words of {of} are unknown, and read as <unk>")
    if share >= _MUCH and instead:
        say(f"that is much; {instead}")


#: what helps a text without spaces
BY_CHARACTER = "a text without spaces between its words (Chinese, Japanese, Thai) is read with --characters"
IN_PIECES = f"--bpe 8000 reads rare words in pieces; {BY_CHARACTER}"  #: what helps pairs of texts


def check_n(n: int | None) -> None:
    """Refuse a ``--n`` below 1, or one that never ends."""
    if n is not None and not 1 <= n <= MOST_SCENES:
        raise UserError(f"--n {n}: give {'1 or more' if n < 1 else f'{MOST_SCENES:,} or fewer'}")


def check_split(split: str, splits: Any) -> None:
    """Refuse a ``--split`` that the data does not have."""
    if split not in splits:
        raise UserError(f"--split {split}: this data has {', '.join(splits)}")
