"""Fine-tuning a trained captioner by a metric, with self-critical training: the run that it makes, and what rewards it.

cider    CIDEr-D beside the captions of photographs that people wrote
truth    1 for a caption that is true of its scene, else 0
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv import __version__
from scratchlv.arrays import Array
from scratchlv.data import scenes as scenes_world
from scratchlv.data.captions import CaptionSet
from scratchlv.data.epochs import rows_of_batch
from scratchlv.data.text import bare_words
from scratchlv.decode import Generated
from scratchlv.errors import UserError
from scratchlv.metrics import CiderD
from scratchlv.parallel.shares import ALL, WHOLE, Part, Share, share_of
from scratchlv.tasks import asked_again, captioning, records, run_folder, training
from scratchlv.tasks.self_critical import PictureBatch, Reward, SelfCritical
from scratchlv.tasks.training import Job, Say
from scratchlv.tokens import END, SPECIALS
from scratchlv.training import checkpoint
from scratchlv.training.trainer import load_model_tensors

METRICS = {"cider": "photographs", "truth": "scenes"}  #: metric -> what it is of
_GOALS = {"cider": "cider_d", "truth": "true_share"}  # the figures of validation
_PRESETS: dict[str, dict[str, Any]] = {
    "cider": {"steps": 1200, "batch": 20, "samples": 5, "validate_every": 150},
    "truth": {"steps": 1000, "batch": 64, "validate_every": 100},
}
_CHANGES = ("steps", "batch", "learning_rate", "warmup", "clip", "optimiser", "momentum", "nesterov", "validate_every")
_SEED = 3  # of what is drawn, among all that a run's seed is for


# --- what was asked for --------------------------------------------------------------------------------------------


def config(
    start_from: Path | None, metric: str | None, asked: dict[str, Any], overrides: list[str]
) -> captioning.Config:
    """The config of a run that begins with the parameters of another, and learns by a metric.

    Args:
        asked: what the command line says besides, by the fields of the config; None or False where it says nothing.
        overrides: ``key=value`` strings.

    Raises:
        UserError: there is no such metric, no trained captioner to begin with, or it is asked for what it is not.
    """
    if metric is None:
        raise UserError("--start-from goes with --finetune-metric: say by which metric the run goes on to learn")
    if metric not in METRICS:
        raise UserError(f"--finetune-metric {metric}: there are {', '.join(METRICS)}")
    if start_from is None:
        raise UserError(
            f"--finetune-metric {metric} goes on from a trained captioner: train one first, and name it by --start-from RUN"
        )
    before, _ = run_folder.read(start_from, "caption")
    run_folder.load_weights(start_from)  # a run that was never trained is refused before its data is read
    _refuse_other(start_from, before, asked)
    _refuse_mismatch(start_from, before, metric)
    for assignment in overrides:
        key = assignment.partition("=")[0]
        if key in {field.name for field in dataclasses.fields(before.settings)} - {*_CHANGES, "samples"}:
            raise UserError(f"{assignment}: with --start-from, {key} is that of the run; leave it out")
    photographs = metric == "cider"
    settings = dataclasses.replace(
        before.settings.unregularised(),
        **_PRESETS[metric],
        learning_rate=2e-4,
        warmup=50,
        dropout=0.0,
        label_smoothing=0.0,
        scheduled_sampling=0.0,
        input_dropout=0.0,
        drawn=0.0,  # in use, hard attention looks at the expectation
    )
    return dataclasses.replace(
        asked_again.with_data(start_from, before, asked.get("data")) if photographs else before,
        scratchlv=__version__,
        seed=asked.get("seed") or 0,
        settings=records.override(settings, overrides),
        start_from=str(start_from.resolve()),
        finetune_metric=metric,
    )


def _refuse_other(start_from: Path, before: captioning.Config, asked: dict[str, Any]) -> None:
    """
    Raises:
        UserError: the command says something of the run that it begins with, and that is otherwise.
    """
    for name, value in asked.items():
        has = getattr(before, name)
        if name not in ("data", "seed") and value and value != has:
            option = f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")
            raise UserError(f"{option}: {start_from} was made {f'with {has}' if has else 'without'}; leave it out")


def _refuse_mismatch(start_from: Path, before: captioning.Config, metric: str) -> None:
    """
    Raises:
        UserError: the metric is not of such a run.
    """
    of = "scenes" if before.argument.kind == "scenes" else "photographs"
    if METRICS[metric] != of:
        right = next(each for each, kind in METRICS.items() if kind == of)
        why = "of scenes it is known what is true" if of == "scenes" else "what is true of photographs nobody knows"
        raise UserError(
            f"--finetune-metric {metric} is of {METRICS[metric]}, and {start_from} of {of}: {why}; give {right}"
        )
    if before.characters:
        raise UserError(
            f"--finetune-metric {metric} counts words, and {start_from} writes characters; train one of words"
        )


# --- the run -------------------------------------------------------------------------------------------------------


def prepare(config: captioning.Config, show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of such a config; in ``folder`` it may have begun already."""
    assert config.start_from is not None and config.finetune_metric is not None
    beginning = Path(config.start_from)
    fitted = run_folder.read(folder if (folder / "config.json").exists() else beginning, "caption")[1]
    run: captioning.Run = training.new(config, fitted)
    if not checkpoint.latest_steps(folder):
        tensors, state = run_folder.load_weights(beginning)
        load_model_tensors(run.model, tensors, beginning)
        say(f"beginning with {beginning}, step {state['step']}")
    sets = captioning.sets(config, fitted.vocabulary, run.extractor, show_progress, say)
    train_set, val_set = map(run.seen, sets)
    reward = cider_reward(train_set) if config.finetune_metric == "cider" else truth_reward(train_set)
    settings = config.settings
    learner = SelfCritical(run.model, reward, settings.samples, captioning.MOST_WORDS)
    shown = np.unique(train_set.picture_of)  # those that have captions; of a blind run, each in another's place

    def some(step: int, share: Share) -> tuple[Array, Array | None, Part]:
        """The pictures of a share of a batch, their coins, and which part that is."""
        numbers = shown[rows_of_batch(len(shown), step, settings.batch, config.seed)]
        coins = train_set.coins(len(numbers), step, config.seed)
        rows = share.rows(len(numbers))
        part = Part(rows.start, len(numbers), share_of(rows.stop - rows.start, len(numbers)))
        return numbers[rows], None if coins is None else coins[rows], WHOLE if share == ALL else part

    def batch_at(step: int, share: Share = ALL) -> PictureBatch:
        (numbers, coins, part), (following, coins_after, _) = (some(k, share) for k in (step, step + 1))
        pictures = train_set.shown(numbers, coins)
        train_set.read_ahead(following, coins_after)
        seed = (config.seed, _SEED, step) if share == ALL else (config.seed, _SEED, step, share.number)
        return PictureBatch(pictures, numbers, seed, part)

    return Job(run, batch_at, lambda: _validate(run, val_set), learner=learner, goal=_GOALS[config.finetune_metric])


def _validate(run: captioning.Run, val_set: CaptionSet) -> dict[str, float]:
    """The figures of greedy captions of the pictures to validate on."""
    if val_set.scenes is not None:
        return captioning.truth(run, val_set)
    said = [run.text(run.words(g)) for g in run.caption(val_set.pictures[np.unique(val_set.picture_of)])]
    return captioning.likeness(run, val_set, said)


def cider_reward(data: CaptionSet) -> Reward:
    """CIDEr-D beside the captions of a set, whose rare words count as they are; the end symbol is a word."""
    assert data.texts is not None
    end, words = SPECIALS[END], data.vocabulary.words
    references: list[list[list[str]]] = [[] for _ in range(len(data.pictures))]
    for picture, text in zip(data.picture_of, data.texts, strict=True):
        references[picture].append([*bare_words(text), end])
    with_references = [several for several in references if several]
    number = np.cumsum([bool(several) for several in references]) - 1  # of a picture, among those that have some
    scorer = CiderD(with_references)

    def reward(captions: Sequence[Generated], pictures: Array) -> Array:
        return scorer.scores([[words[token] for token in g.tokens] for g in captions], number[pictures])

    return reward


def truth_reward(data: CaptionSet) -> Reward:
    """1 for a caption that was ended and is true of its scene, else 0."""
    scenes, vocabulary = data.scenes, data.vocabulary
    assert scenes is not None

    def reward(captions: Sequence[Generated], pictures: Array) -> Array:
        return np.array(
            [
                float(g.finished and scenes_world.judge(vocabulary.decode(g.tokens), scenes[picture]).true)
                for g, picture in zip(captions, pictures, strict=True)
            ]
        )

    return reward
