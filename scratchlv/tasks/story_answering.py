"""Questions about stories (bAbI): train, evaluate and use an end-to-end memory network over sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.data.babi import babi
from scratchlv.data.question_set import StorySet, answers_of, numbers_of
from scratchlv.data.text import bare_words, read_lines
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.errors import UserError
from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig
from scratchlv.tasks import records, training
from scratchlv.tasks.question_answering import question_words, top_k
from scratchlv.tasks.training import Job, Say

_REMEMBERED = 50  # of a story, the latest sentences (Sukhbaatar et al. 2015)


@dataclass(frozen=True, kw_only=True)
class Settings(records.Settings):
    hops: int = 3
    width: int = 40
    tying: str = "adjacent"
    noise: float = 0.1  # of empty memories among the sentences, in training


PRESETS = {("babi", "quick"): Settings(steps=4000, batch=32, learning_rate=1e-2, clip=5.0, width=20)}


@dataclass(frozen=True, kw_only=True)
class Config(records.Config):
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class Fitted(records.Fitted):
    answers: tuple[str, ...]
    prior: int  # the commonest answer, by number


def config(task: str, data: str, model: str, preset: str, seed: int, overrides: list[str]) -> Config:
    """The config of a new run.

    Raises:
        UserError: an argument is wrong.
    """
    asked = records.ask(Config, PRESETS, task, data, model, preset, seed, overrides)
    records.refuse_idle(asked, overrides, dict.fromkeys(("dropout", "label_smoothing"), "a memory network"))
    return asked


class Run(training.Run[Config, Fitted]):
    """A memory network, its words and its answers."""

    @property
    def choices(self) -> int:
        return len(self.fitted.answers)


def dataset(config: Config, fitted: Fitted | None, split: str, n: int | None = None) -> StorySet:
    """The questions of a split, each with its story, in the words and answers of ``fitted``; in their own where it is None."""
    splits = babi(*config.argument.arguments)
    training.check_split(split, splits)
    stories = splits[split][:n]
    if fitted is not None:
        vocabulary, answers = fitted.vocabulary, fitted.answers
    else:
        told = (sentence for story in stories for sentence in (*story.sentences, story.question))
        vocabulary, answers = Vocabulary.from_counts(told), answers_of([story.answer for story in stories])
    return StorySet(
        [[vocabulary.encode(sentence) for sentence in story.sentences] for story in stories],
        [vocabulary.encode(story.question) for story in stories],
        numbers_of([story.answer for story in stories], answers),
        vocabulary,
        answers,
        _REMEMBERED,
        config.settings.noise,
    )


def prepare(config: Config, fitted: Fitted | None, show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of a config."""
    train_set = dataset(config, fitted, "train")
    if fitted is None:
        fitted = Fitted(vocabulary=train_set.vocabulary, answers=tuple(train_set.answer_names), prior=train_set.prior())
    val_set = dataset(config, fitted, "val")
    say(f"{len(train_set.answers):,} questions, {len(fitted.answers)} answers; {len(val_set.answers):,} to validate on")
    told = (sentence for story in val_set.stories for sentence in story)
    training.say_unknown(say, "the stories and questions to validate on", (*told, *val_set.questions))
    run: Run = training.new(config, fitted)
    return training.job(run, train_set, val_set, validate=lambda: val_set.validate(run.model))


def build(config: Config, fitted: Fitted) -> MemoryNetwork:
    """The model, with fresh parameters."""
    s = config.settings
    widths = MemoryNetworkConfig(
        vocabulary=len(fitted.vocabulary),
        answers=len(fitted.answers),
        memories=_REMEMBERED,
        pictures=False,
        hops=s.hops,
        width=s.width,
        tying=s.tying,
    )
    return MemoryNetwork(widths, config.seed)


def evaluate(run: Run, split: str = "val", n: int | None = None, show_progress: bool = False) -> dict[str, Any]:
    """``loss`` and ``accuracy``, and that of the prior: the commonest answer of the training part."""
    training.check_n(n)
    data = dataset(run.config, run.fitted, split, n)
    return {
        "loss": data.mean_loss(run.model, most=len(data.answers)),
        "accuracy": data.accuracy(data.predict(run.model)),
        "prior_accuracy": data.accuracy(np.full(len(data.answers), run.fitted.prior)),
        "n": len(data.answers),
    }


# --- any question about any story ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """A question about a story with its most likely answers; ``alphas`` (hops, sentences), the oldest sentence first."""

    sentences: list[str]
    question: str
    answers: list[tuple[str, float]]
    alphas: Array
    unknown: list[str]


def answer(run: Run, story: Path, question: str) -> Answered:
    """Answer a question about a story, a text file with one sentence a line.

    Raises:
        UserError: the file cannot be read or has no sentence; or there is no word in the question.
    """
    lines = [line.strip() for _, line in read_lines(story) if bare_words(line)][-_REMEMBERED:]
    if not lines:
        raise UserError(f"{story} has no sentences; give a text with one sentence a line")
    words = question_words(question, run.vocabulary)
    told = [bare_words(line) for line in lines]
    data = StorySet(
        [[run.vocabulary.encode(sentence) for sentence in told]],
        [run.vocabulary.encode(words)],
        np.zeros(1, np.int64),
        run.vocabulary,
        run.fitted.answers,
        _REMEMBERED,
    )
    probabilities, alphas = run.model.answer(data.batch(np.arange(1)))
    unknown = sorted({word for sentence in (*told, words) for word in sentence if word not in run.vocabulary})
    return Answered(lines, question, top_k(probabilities[0], run.fitted.answers), alphas[0][:, ::-1], unknown)


def picture(answered: Answered) -> Any:
    """Which sentences the model looked at, hop by hop."""
    from scratchlv.show.hops_picture import hops_table

    return hops_table(answered.sentences, answered.alphas, answered.question, answered.answers)
