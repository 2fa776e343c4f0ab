"""Questions about pictures, and about stories, ready to be cut into batches; and how well they were answered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import NOT_THERE, QuestionBatch, StoryBatch, dropout_seed, mean_loss
from scratchlv.data import scenes as scenes_world
from scratchlv.data.drawn import draw_scenes
from scratchlv.data.epochs import rows_of_batch
from scratchlv.data.picture_questions import Question as Asked
from scratchlv.data.scenes import Question, Scene, World
from scratchlv.data.views import in_memory
from scratchlv.data.vocabulary import Vocabulary, pad
from scratchlv.parallel.shares import ALL, Part, Share, share_of
from scratchlv.parallel.team import team
from scratchlv.tokens import PAD
from scratchlv.vision.feature_store import read_ahead

NO_ANSWER = -1  #: the number of an answer that is none of those that can be given
_NONE = np.zeros(0, np.int64)  # of no picture


class _Answered:
    """What questions about pictures and about stories have in common: ``answers``, ``answer_names`` and ``batch``."""

    answers: Array
    answer_names: tuple[str, ...]

    def predict(self, model: Any, size: int = 200, most: int | None = None) -> Array:
        """The answer that ``model`` finds most likely to each question (or to the first ``most``), by number (n,)."""
        batches = self._batches(len(self.answers[:most]), size)
        return np.concatenate(team().in_order([model.answer(batch)[0].argmax(axis=1) for batch in batches]))

    def mean_loss(self, model: Any, size: int = 200, most: int = 4000) -> float:
        """Loss per question, in nats, over the first ``most`` questions whose answer can be given."""
        return mean_loss(model.forward, self._batches(min(most, len(self.answers)), size))

    def validate(self, model: Any, most: int = 20_000) -> dict[str, float]:
        """``loss`` and ``accuracy`` of a model in training; accuracy over the first ``most`` questions."""
        return {"loss": self.mean_loss(model), "accuracy": self.accuracy(self.predict(model, most=most))}

    def _batches(self, n: int, size: int) -> Iterator[Any]:
        """The first ``n`` questions, ``size`` at a time; of processes that work together each has some of the batches."""
        own = team().mine(range(0, n, size))
        return (self.batch(np.arange(at, min(at + size, n))) for at in own)  # type: ignore[attr-defined]

    def prior(self) -> int:
        """The most frequent answer, of several the first: what to say without picture or question."""
        return int(np.bincount(self.answers[self.answers != NO_ANSWER], minlength=len(self.answer_names)).argmax())

    def rights(self, predicted: Array) -> Array:
        """Whether each of the first answers, by number, is right; one that could not be given counts as wrong."""
        rights: Array = np.asarray(predicted) == self.answers[: len(predicted)]
        return rights

    def accuracy(self, predicted: Array) -> float:
        """Share of right answers; NaN when there are none."""
        return float(self.rights(predicted).mean()) if len(predicted) else float("nan")


class InMirror(NamedTuple):
    """The same pictures seen in a mirror, and what is then asked and answered: left is right there."""

    pictures: Array
    questions: list[list[int]]
    answers: Array


@dataclass(frozen=True)
class QuestionSet(_Answered):
    """``pictures`` (P, …): images or features, in memory or on disk.

    Question k is about ``pictures[picture_of[k]]``, and these never fall. Where there is an ``in_mirror``, training is shown half
    of the pictures so, with the questions that go with them.
    """

    pictures: Array
    questions: list[list[int]]  # tokens
    picture_of: Array  # (n,)
    answers: Array  # (n,): a place in answer_names, or NO_ANSWER
    vocabulary: Vocabulary
    answer_names: tuple[str, ...]
    names: list[str]  # of the pictures
    truth: list[Question] | None = None  # of each question, where it is known: template, hops, steps
    scenes: list[Scene] | None = None  # of each picture
    asked: list[Asked] | None = None  # each question as its file has it
    attention_target: Array | None = (
        None  # (n, hops, L): where each hop ought to look, for training; see with_attention_target
    )
    curriculum: int = 0  # steps of training at first in which only questions of one hop are asked, and one is made
    in_mirror: InMirror | None = None

    def batch(self, rows: Array, dropout_seed: int = 0, mirrored: Array = _NONE) -> QuestionBatch:
        """The questions ``rows``, and their pictures, each once: what it costs to look is shared.

        Those of the pictures whose numbers are among ``mirrored`` are as in a mirror.
        """
        pictures, picture_of = np.unique(self.picture_of[rows], return_inverse=True)
        turned = np.isin(self.picture_of[rows], mirrored)
        of = (self.questions, self.in_mirror.questions if self.in_mirror else [])
        tokens, lengths = pad([of[int(there)][k] for k, there in zip(rows, turned, strict=True)])  # (T, N), (N,)
        return QuestionBatch(
            self._shown(pictures, mirrored), picture_of, tokens, lengths, self._answers(rows, mirrored), dropout_seed
        )

    def _shown(self, pictures: Array, mirrored: Array) -> Any:
        """The ``pictures`` by number, in memory, those among ``mirrored`` as in a mirror; of several views a tuple."""
        turned = np.isin(pictures, mirrored)
        if self.in_mirror is None or not turned.any():
            return in_memory(self.pictures[pictures])
        shown = np.empty((len(pictures), *self.pictures.shape[1:]), self.pictures.dtype)
        shown[~turned] = np.asarray(self.pictures[pictures[~turned]])
        shown[turned] = np.asarray(self.in_mirror.pictures[pictures[turned]])
        return shown

    def _answers(self, rows: Array, mirrored: Array) -> Array:
        """The answers to the questions ``rows``, where those about pictures among ``mirrored`` are as in a mirror."""
        if self.in_mirror is None:
            return self.answers[rows]
        return np.where(np.isin(self.picture_of[rows], mirrored), self.in_mirror.answers[rows], self.answers[rows])

    def _mirrored(self, pictures: Array, step: int, seed: int) -> Array:
        """Which of the ``pictures`` of batch number ``step`` are shown in a mirror, by number: half, by chance, or none."""
        if self.in_mirror is None:
            return _NONE
        return pictures[np.random.default_rng([seed, 3, step]).random(len(pictures)) < 0.5]

    def training_batch(self, step: int, size: int, seed: int, share: Share = ALL) -> QuestionBatch:
        """Batch ``step`` of an endless shuffle: ``size`` pictures with all their questions, every picture once an epoch.

        A ``share`` is some of the pictures, with all questions about them.
        """
        n = len(self.pictures)
        pictures, following = (np.sort(rows_of_batch(n, k, size, seed)) for k in (step, step + 1))
        mirrored, mirrored_after = self._mirrored(pictures, step, seed), self._mirrored(following, step + 1, seed)
        hops = 1 if step < self.curriculum else None
        rows = self._asked(pictures[share.rows(len(pictures))], hops)
        batch = self.batch(rows, dropout_seed(seed, step), mirrored)._replace(hops=hops)
        self._read_ahead(following[share.rows(len(following))], mirrored_after)
        if self.attention_target is not None:
            batch = batch._replace(attention_target=self.attention_target[rows, :hops])
        return batch if share == ALL else batch._replace(part=self._part(pictures, share, rows, hops, mirrored))

    def _read_ahead(self, pictures: Array, mirrored: Array) -> None:
        """What :meth:`_shown` will be asked for soon."""
        turned = np.isin(pictures, mirrored)
        read_ahead(self.pictures, pictures[~turned])
        if self.in_mirror is not None:
            read_ahead(self.in_mirror.pictures, pictures[turned])

    def _asked(self, pictures: Array, hops: int | None) -> Array:
        """The questions about ``pictures`` that are asked; of a curriculum's beginning, those of so many hops."""
        rows = self.rows_of(pictures)
        if hops is None:
            return rows
        assert self.truth is not None
        return np.array([k for k in rows if self.truth[k].hops == hops], np.int64)

    def _part(self, pictures: Array, share: Share, rows: Array, hops: int | None, mirrored: Array) -> Part:
        """Which part of all questions about ``pictures`` the ``rows`` of a share are."""
        whole = self._asked(pictures, hops)
        before = self._asked(pictures[: share.rows(len(pictures)).start], hops)
        given = [(self._answers(some, mirrored) != NO_ANSWER).sum() for some in (rows, whole)]
        taught = [0, 0]
        if self.attention_target is not None:
            taught = [self.attention_target[some, :hops].any(axis=2).sum() for some in (rows, whole)]
        return Part(len(before), len(whole), share_of(*given), share_of(*taught))

    def rows_of(self, pictures: Array) -> Array:
        """The questions about ``pictures``."""
        first: Array = np.searchsorted(self.picture_of, pictures, "left")
        past: Array = np.searchsorted(self.picture_of, pictures, "right")
        return np.concatenate([np.arange(0), *(np.arange(a, b) for a, b in zip(first, past, strict=True))])

    def with_attention_target(self, hops: int, grid: tuple[int, int]) -> QuestionSet:
        """The same, with the regions (of ``grid``, rows and columns) that each hop ought to look at.

        The last hop looks at what the last step of the question depends on, those before at the steps in their order; a
        question of fewer steps is looked at longer.
        """
        assert self.truth is not None and self.scenes is not None
        objects = [np.stack([_cells(o.box, grid) for o in scene.objects]) for scene in self.scenes]  # (objects, L) each
        attention_target = np.zeros((len(self.questions), hops, grid[0] * grid[1]), bool)
        for k, (question, scene) in enumerate(zip(self.truth, self.picture_of, strict=True)):
            for hop in range(hops):
                step = question.steps[-1 if hop == hops - 1 else min(hop, question.hops - 1)]
                attention_target[k, hop] = objects[scene][list(step)].any(axis=0)
        return replace(self, attention_target=attention_target)

    def texts(self, predicted: Array) -> list[str]:
        """Answers by number as they are written; nothing for one that is none."""
        return [self.answer_names[number] if number != NO_ANSWER else "" for number in predicted]

    def accuracy_by(self, rights: Array) -> dict[str, dict[str, float]]:
        """The mean of ``rights`` (n,), 0 to 1, ``by_type`` and ``by_hops`` of questions; nothing where these are not known."""
        groups: dict[str, list[str]] = {}
        if self.truth is not None:
            groups["by_type"] = [question.template for question in self.truth]
            groups["by_hops"] = [str(question.hops) for question in self.truth]
        elif self.asked is not None and any(question.group for question in self.asked):
            groups["by_type"] = [question.group for question in self.asked]
        return {by: _means(rights, names) for by, names in groups.items()}


def _means(values: Array, names: list[str]) -> dict[str, float]:
    """The mean of the values of each name."""
    of: dict[str, list[float]] = defaultdict(list)
    for name, value in zip(names, values, strict=True):
        of[name].append(value)
    return {name: float(np.mean(several)) for name, several in of.items()}


def _cells(box: tuple[float, float, float, float], grid: tuple[int, int]) -> Array:
    """Which cells of a grid over the picture a box, in pixels, overlaps: (rows · columns,) bool."""
    left, top, right, bottom = box
    across, down = (np.arange(n + 1) * scenes_world.SIDE / n for n in (grid[1], grid[0]))
    columns = (across[:-1] < right) & (left < across[1:])
    rows = (down[:-1] < bottom) & (top < down[1:])
    return (rows[:, None] & columns).ravel()


class StorySet(_Answered):
    """Questions, each with the sentences that were told before it, of which the latest ``memories`` are remembered.

    ``noise`` is the share of empty memories among the sentences, in training: it blurs the places ("RN", Sukhbaatar et al. 2015).

    Args:
        stories: tokens of the sentences of each question's story, the oldest first.
        questions: tokens.
        answers: (n,): a place in answer_names, or NO_ANSWER.
    """

    def __init__(
        self,
        stories: Sequence[Sequence[Sequence[int]]],
        questions: list[list[int]],
        answers: Array,
        vocabulary: Vocabulary,
        answer_names: tuple[str, ...],
        memories: int = 50,
        noise: float = 0.0,
    ) -> None:
        self.stories, self.questions, self.answers = stories, questions, answers
        self.vocabulary, self.answer_names = vocabulary, answer_names
        self.memories, self.noise = memories, noise
        number: dict[tuple[int, ...], int] = {(): NOT_THERE}
        self.lengths = np.array([len(story) for story in stories], np.int64)  # also of what is not remembered
        self.told = np.full((len(stories), memories), NOT_THERE)  # (n, memories), as in a batch
        for told, story in zip(self.told, stories, strict=True):
            latest = [number.setdefault(tuple(sentence), len(number)) for sentence in story[-memories:]]
            told[: len(latest)] = latest[::-1]
        self.sentences = _padded(list(number))  # (U, J) of the whole set

    def batch(self, rows: Array, dropout_seed: int = 0, noise: float = 0.0, some: slice = slice(None)) -> StoryBatch:
        """The questions ``rows``, or ``some`` of them, with their stories, the latest sentence first."""
        # noise is drawn for all rows, whoever has which of them
        told = self._with_noise(rows, noise, dropout_seed) if noise else self.told[rows]
        rows, told = rows[some], told[some]
        # a question before any sentence still has a memory, though an empty one: it can be asked of nothing
        most = max(1, int((told != NOT_THERE).any(axis=0).nonzero()[0].max(initial=0)) + 1)
        sentences, told = np.unique(np.append(told[:, :most], NOT_THERE), return_inverse=True)
        told = told[:-1].reshape(len(rows), most)
        words = self.sentences[sentences]
        words = words[:, : max(1, int((words != PAD).sum(axis=1).max()))]
        tokens, lengths = pad([self.questions[k] for k in rows])
        return StoryBatch(words, told, tokens, lengths, self.answers[rows], dropout_seed)

    def _with_noise(self, rows: Array, noise: float, seed: int) -> Array:
        """The stories (N, memories) with an empty sentence told after a share of the others, which moves these back."""
        lengths = self.lengths[rows]
        drawn = np.random.default_rng([seed, 4]).random(lengths.sum()) < noise  # of each sentence, the oldest first
        places = np.arange(self.memories)
        there = places < lengths[:, None]
        latest_first = np.cumsum(lengths)[:, None] - 1 - places
        empty = np.where(there, drawn[np.where(there, latest_first, 0)], False) if len(drawn) else there
        places = places + np.cumsum(empty, axis=1)
        remembered = there & (places < self.memories)
        told = np.full(there.shape, NOT_THERE)
        told[remembered.nonzero()[0], places[remembered]] = self.told[rows][remembered]
        return told

    def training_batch(self, step: int, size: int, seed: int, share: Share = ALL) -> StoryBatch:
        """Batch ``step`` of an endless shuffle: every question once an epoch, a new order each time."""
        rows = np.sort(rows_of_batch(len(self.questions), step, size, seed))
        some = share.rows(len(rows))
        batch = self.batch(rows, dropout_seed(seed, step), self.noise, some)
        if share == ALL:
            return batch
        given = self.answers[rows] != NO_ANSWER
        return batch._replace(part=Part(some.start, len(rows), share_of(given[some].sum(), given.sum()), 0.0))


def _padded(sentences: Sequence[Sequence[int]]) -> Array:
    """(U, J), padding behind."""
    padded = np.full((len(sentences), max(map(len, sentences), default=0) or 1), PAD)
    for row, sentence in zip(padded, sentences, strict=True):
        row[: len(sentence)] = sentence
    return padded


# --- where they come from --------------------------------------------------------------------------------------------


def scenes_questions(
    seed: int, split: str, n: int, per_scene: int, world: World, templates: Sequence[str] | None = None
) -> QuestionSet:
    """``n`` scenes of a split, and ``per_scene`` questions about each, of all templates or of these."""
    scenes, pictures = draw_scenes(seed, split, n, world)
    asked = scenes_world.questions(scenes, per_scene, seed, templates)
    truth = [question for several in asked for question in several]
    vocabulary = Vocabulary(scenes_world.question_vocabulary_words())
    number = {name: k for k, name in enumerate(scenes_world.ANSWERS)}
    return QuestionSet(
        pictures,
        [vocabulary.encode(question.words) for question in truth],
        np.repeat(np.arange(n), [len(several) for several in asked]),
        np.array([number[question.answer] for question in truth]),
        vocabulary,
        scenes_world.ANSWERS,
        [f"scene {scene.seed}/{scene.index}" for scene in scenes],
        truth,
        scenes,
    )


def answers_of(answers: Iterable[str], min_count: int = 1, most: int | None = None) -> tuple[str, ...]:
    """Those that occur at least ``min_count`` times: the ``most`` frequent first, ties in alphabetical order."""
    counts = Counter(answers)
    return tuple(sorted((a for a, n in counts.items() if n >= min_count), key=lambda a: (-counts[a], a))[:most])


def numbers_of(answers: Sequence[str], answer_names: Sequence[str]) -> Array:
    """The place of each answer among ``answer_names``, ``NO_ANSWER`` for one that is not there."""
    number = {name: k for k, name in enumerate(answer_names)}
    return np.array([number.get(answer, NO_ANSWER) for answer in answers], np.int64)
