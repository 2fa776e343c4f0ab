"""Questions about stories (bAbI): train, evaluate and use an end-to-end memory network over sentences.

A task's network is trained as its paper trains it (Sukhbaatar et al. 2015, section 4): by SGD with a linear start, and of ten
networks that begin otherwise the one is kept that fits the training data best. Of ``babi:DIR:all`` each task has a run of its own
in the run's folder; the preset ``joint`` trains one network on all tasks at once.

Three things of the recipe are not in the paper, but as in what its authors published of it, and each helped: all 50 memories are
asked, those that hold nothing as zeros (``empty_memories``); the position encoding is larger (``encoding``; theirs is 2); and of
empty memories among the sentences there are up to a tenth, on average half as many (``noise``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.data import babi as babi_
from scratchlv.data.babi import Story, babi
from scratchlv.data.question_set import StorySet, answers_of, numbers_of
from scratchlv.data.text import bare_words, read_lines
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.errors import UserError
from scratchlv.models.memory_network import MemoryNetwork, MemoryNetworkConfig
from scratchlv.models.side_by_side import SideBySide
from scratchlv.parallel.shares import ALL
from scratchlv.tasks import records, separately, training
from scratchlv.tasks.question_answering import question_words, top_k
from scratchlv.tasks.restarts import Restarts
from scratchlv.tasks.training import Job, Say
from scratchlv.tokens import SPECIALS
from scratchlv.training.optimisers import Decay

_REMEMBERED = 50  # of a story, the latest sentences (Sukhbaatar et al. 2015)
#: errors of the tasks 1 to 20 in percent: 1,000 questions, 3 hops, PE LS RN (Sukhbaatar et al. 2015, table 1)
PAPER = (0.0, 8.3, 40.3, 2.8, 13.1, 7.6, 17.3, 10.0, 13.2, 15.1, 0.9, 0.2, 0.4, 1.7, 0.0, 1.3, 51.0, 11.1, 82.8, 0.0)


@dataclass(frozen=True, kw_only=True)
class Settings(records.Settings):
    hops: int = 3
    width: int = 40
    tying: str = "adjacent"
    noise: float = 0.1  # of empty memories among the sentences, in training
    restarts: int = 1  # trainings, of which the one with the lowest training loss is kept
    linear_steps: int = (
        0  # without the softmax before the others, at half the learning rate; fewer if validation says so
    )
    empty_memories: bool = False  # memories that hold nothing are asked, too
    tied_answers: bool = False  # of adjacent hops: an answer is a word like any other, and W are rows of C_K
    encoding: float = 1.0  # what the position encoding is multiplied by
    init_scale: float = 0.0  # the standard deviation of all parameters at first; 0: by their kind
    joint: bool = False  # one network for all tasks


# the paper's: a loss that is summed over a batch of 32, a rate of 0.01 halved every 25 epochs of 100, gradients clipped at 40;
# here the loss is the mean, and an epoch of 900 questions has 28 steps
_PAPERS = Settings(
    steps=2800,
    batch=32,
    learning_rate=0.01 * 32,
    warmup=0,
    clip=40 / 32,
    decay=0.5,
    decay_from=700,
    decay_every=700,
    optimiser="sgd",
    width=20,
    restarts=10,
    linear_steps=560,
    empty_memories=True,
    tied_answers=True,
    encoding=1.4,
    noise=0.05,
    init_scale=0.1,
)
PRESETS = {
    ("babi", "quick"): _PAPERS,
    # of ten tasks: 60 epochs, halved every 15, as the authors published it; of restarts the paper says nothing here
    ("babi", "joint"): replace(
        _PAPERS,
        steps=60 * 281,
        decay_from=15 * 281,
        decay_every=15 * 281,
        linear_steps=30 * 281,
        width=50,
        restarts=1,
        joint=True,
    ),
}
_SEEDS = 1000  # of each run: so many restarts have seeds of their own
_PATIENCE = (
    10  # epochs without a lower loss, after which a linear start ends: the loss of 100 questions is no smooth curve
)
_NEVER = 1e9  # a norm that no gradient has


@dataclass(frozen=True, kw_only=True)
class Config(records.Config):
    settings: Settings

    @property
    def all_tasks(self) -> bool:
        return self.argument.arguments[1] == babi_.ALL

    @property
    def separate(self) -> bool:
        """Whether each task has a run of its own."""
        return self.all_tasks and not self.settings.joint


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
    if asked.settings.joint and not asked.all_tasks:
        raise UserError(f"--preset joint trains one network on all tasks; give --data babi:DIR:{babi_.ALL}")
    records.refuse_idle(asked, overrides, dict.fromkeys(("dropout", "label_smoothing"), "a memory network"))
    return asked


class Run(training.Run[Config, Fitted]):
    """A memory network, its words and its answers."""

    @property
    def choices(self) -> int:
        return len(self.fitted.answers)


# --- data --------------------------------------------------------------------------------------------------------


def read(config: Config, split: str, n: int | None = None) -> dict[str, list[Story]]:
    """The questions of a split, by the number of their task; ``n`` of each."""
    folder, task = config.argument.arguments
    found = {}
    for number in map(str, babi_.tasks(folder)[0]) if task == babi_.ALL else (task,):
        splits = babi(folder, number)
        training.check_split(split, splits)
        found[number] = splits[split][:n]
    return found


def dataset(config: Config, fitted: Fitted | None, split: str, n: int | None = None) -> StorySet:
    """The questions of a split, each with its story, in the words and answers of ``fitted``; in their own where it is None."""
    return _stories([story for several in read(config, split, n).values() for story in several], config, fitted)


def _stories(stories: list[Story], config: Config, fitted: Fitted | None) -> StorySet:
    if fitted is not None:
        vocabulary, answers = fitted.vocabulary, fitted.answers
    else:
        told = (sentence for story in stories for sentence in (*story.sentences, story.question))
        vocabulary, answers = Vocabulary.from_counts(told), answers_of([story.answer for story in stories])
        if config.settings.tied_answers:  # then they come first; of several words ("milk,football") all are one
            vocabulary = Vocabulary(
                [*answers, *(w for w in vocabulary.words[len(SPECIALS) :] if w not in set(answers))]
            )
    return StorySet(
        [[vocabulary.encode(sentence) for sentence in story.sentences] for story in stories],
        [vocabulary.encode(story.question) for story in stories],
        numbers_of([story.answer for story in stories], answers),
        vocabulary,
        answers,
        _REMEMBERED,
        config.settings.noise,
    )


# --- training ----------------------------------------------------------------------------------------------------


def parts(config: Config) -> tuple[str, ...]:
    """The tasks, of which each has a run of its own."""
    return tuple(map(str, babi_.tasks(config.argument.arguments[0])[0]))


def part(config: Config, task: str) -> Config:
    """The config of a task's run."""
    return replace(config, data=f"babi:{config.argument.arguments[0]}:{task}")


def fit(config: Config, say: Say) -> Fitted:
    """What is fitted from all tasks."""
    _say_missing(config, say)
    train_set = dataset(config, None, "train")
    return Fitted(vocabulary=train_set.vocabulary, answers=tuple(train_set.answer_names), prior=train_set.prior())


def _say_missing(config: Config, say: Say) -> None:
    folder = config.argument.arguments[0]
    missing = babi_.tasks(folder)[1]
    if missing:
        say(f"{folder} does not have bAbI's task{'s' * (len(missing) > 1)} {_listed(missing)}; the others are trained")


def _listed(numbers: tuple[int, ...]) -> str:
    """4, 11 to 20."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def prepare(config: Config, fitted: Fitted | None, show_progress: bool, say: Say, folder: Path) -> Job:
    """The job of a config."""
    if config.all_tasks:
        _say_missing(config, say)
    train_set = dataset(config, fitted, "train")
    if fitted is None:
        fitted = Fitted(vocabulary=train_set.vocabulary, answers=tuple(train_set.answer_names), prior=train_set.prior())
    val_set = dataset(config, fitted, "val")
    say(f"{len(train_set.answers):,} questions, {len(fitted.answers)} answers; {len(val_set.answers):,} to validate on")
    _say_forgotten(say, train_set)
    told = (sentence for story in val_set.stories for sentence in story)
    training.say_unknown(say, "the stories and questions to validate on", (*told, *val_set.questions))
    run: Run = training.new(config, fitted)
    return training.job(
        run,
        train_set,
        val_set,
        validate=lambda: val_set.validate(run.model),
        restarts=_restarts(config, fitted, train_set, val_set),
    )


def _say_forgotten(say: Say, data: StorySet) -> None:
    longer = int((data.lengths > _REMEMBERED).sum())
    if longer:
        say(
            f"{longer:,} of {len(data.lengths):,} stories have more than {_REMEMBERED} sentences (up to {data.lengths.max():,}): "
            f"of these only the latest {_REMEMBERED} are remembered"
        )


def _restarts(config: Config, fitted: Fitted, train_set: StorySet, val_set: StorySet) -> Restarts | None:
    """The trainings of which one is kept; None where there is one, without a linear start."""
    s = config.settings
    if s.restarts == 1 and not s.linear_steps:
        return None

    def begin() -> SideBySide:
        seeds = range(config.seed * _SEEDS, config.seed * _SEEDS + s.restarts)
        return SideBySide(_widths(config, fitted), seeds, s.clip)

    settings = replace(training.train_settings(s), clip=_NEVER)  # each is clipped by itself
    linear = replace(
        settings,
        steps=s.linear_steps,
        learning_rate=s.learning_rate / 2,
        decay=Decay(1.0, 1, 1),  # none
        validate_every=max(1, len(train_set.questions) // s.batch),
        patience=_PATIENCE,
    )
    return Restarts(
        begin,
        lambda step, share=ALL: train_set.training_batch(step, s.batch, config.seed, share),
        training_loss=lambda model: train_set.mean_loss(model, most=len(train_set.answers)),
        validate=lambda networks: {"loss": val_set.mean_loss(networks)},
        settings=settings,
        linear=linear if s.linear_steps else None,
    )


def build(config: Config, fitted: Fitted) -> MemoryNetwork:
    """The model, with fresh parameters."""
    return MemoryNetwork(_widths(config, fitted), config.seed)


def _widths(config: Config, fitted: Fitted) -> MemoryNetworkConfig:
    s = config.settings
    return MemoryNetworkConfig(
        vocabulary=len(fitted.vocabulary),
        answers=len(fitted.answers),
        memories=_REMEMBERED,
        pictures=False,
        hops=s.hops,
        width=s.width,
        tying=s.tying,
        empty_memories=s.empty_memories,
        encoding=s.encoding,
        tied_answers=s.tied_answers and s.tying == "adjacent",
        init_scale=s.init_scale or None,
    )


# --- how good is it? ---------------------------------------------------------------------------------------------


def evaluate(run: Run, split: str = "val", n: int | None = None, show_progress: bool = False) -> dict[str, Any]:
    """``loss`` and ``accuracy``, and that of the prior: the commonest answer of the training part.

    Of all tasks the errors in percent, a line for each, beside the paper's, and their means.
    """
    training.check_n(n)
    if run.config.all_tasks:
        return _table(run, split, n)
    data = dataset(run.config, run.fitted, split, n)
    return {
        "loss": data.mean_loss(run.model, most=len(data.answers)),
        "accuracy": data.accuracy(data.predict(run.model)),
        "prior_accuracy": data.accuracy(np.full(len(data.answers), run.fitted.prior)),
        "n": len(data.answers),
    }


def _table(run: Run, split: str, n: int | None) -> dict[str, Any]:
    """The errors of each task, by its own network or by the one that all have."""
    found = read(run.config, split, n)
    rows, sizes = {}, 0
    for task, stories in found.items():
        run_of = run if not run.config.separate else training.load(_folder(run, task), "babi")
        data = _stories(stories, run_of.config, run_of.fitted)
        rows[f"task {task}"] = {"error": 100 * (1 - data.accuracy(data.predict(run_of.model)))}
        if int(task) <= len(PAPER):
            rows[f"task {task}"]["paper"] = PAPER[int(task) - 1]
        sizes += len(stories)
    of_paper = [row["paper"] for row in rows.values() if "paper" in row]
    return {
        "tasks": rows,
        "mean_error": float(np.mean([row["error"] for row in rows.values()])),
        "paper_mean_error": float(np.mean(of_paper)) if of_paper else float("nan"),
        "n": sizes,
    }


def _folder(run: Run, task: str) -> Path:
    """That of the run of a task."""
    assert run.folder is not None
    return separately.parts(run.folder, run.config)[task]


# --- any question about any story ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """A question about a story with its most likely answers; ``alphas`` (hops, sentences), the oldest sentence first."""

    sentences: list[str]
    question: str
    answers: list[tuple[str, float]]
    alphas: Array
    unknown: list[str]
    notes: tuple[str, ...] = ()  # what the reader should know besides


def answer(run: Run, story: Path, question: str) -> Answered:
    """Answer a question about a story, a text file with one sentence a line.

    Raises:
        UserError: the file cannot be read or has no sentence; or there is no word in the question.
    """
    if run.config.separate:
        tasks = ", ".join(str(folder) for folder in separately.parts(run.folder or Path(), run.config).values())
        raise UserError(f"{run.folder} has a network for each task; ask one of {tasks}")
    lines = [line.strip() for _, line in read_lines(story) if bare_words(line)]
    if not lines:
        raise UserError(f"{story} has no sentences; give a text with one sentence a line")
    words = question_words(question, run.vocabulary)
    notes = _forgotten(story, lines)
    lines = lines[-_REMEMBERED:]
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
    looked = alphas[0][:, : len(lines)][:, ::-1]  # of memories that hold nothing there is nothing to show
    return Answered(lines, question, top_k(probabilities[0], run.fitted.answers), looked, unknown, notes)


def _forgotten(story: Path, lines: list[str]) -> tuple[str, ...]:
    """A sentence on those that are not remembered, where there are any."""
    dropped = lines[:-_REMEMBERED]
    if not dropped:
        return ()
    which = f"first is dropped: {dropped[0]!r}"
    if len(dropped) > 1:
        which = f"first {len(dropped):,} are dropped, {dropped[0]!r} to {dropped[-1]!r}"
    return (f"{story} has {len(lines):,} sentences, and {_REMEMBERED} are remembered: the {which}",)


def picture(answered: Answered) -> Any:
    """Which sentences the model looked at, hop by hop."""
    from scratchlv.show.hops_picture import hops_table

    return hops_table(answered.sentences, answered.alphas, answered.question, answered.answers)
