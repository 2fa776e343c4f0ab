"""What a step of training or of use is given: data makes these, models read them.

N sequences side by side, T steps; time runs down. Arrays are NumPy's; a model sends them to where its parameters are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from scratchlv.arrays import Array
from scratchlv.parallel.shares import WHOLE, Part
from scratchlv.parallel.team import team

NOT_THERE = 0  #: the number of the sentence that is none


def dropout_seed(seed: int, step: int) -> int:
    """What the dropout of a training step is drawn from: a run of another seed has other masks at every step."""
    return seed * 1_000_003 + step


def mean_loss(forward: Callable[..., tuple[Any, Any]], batches: Iterable[Any]) -> float:
    """Loss per word, or per question, in nats: the losses of ``forward``, each by the ``weight`` of its batch.

    Where several processes work together the ``batches`` are those of this one, ``team().mine(all)``, and the loss is that of
    all: they are added up in the order that one process would take. NaN where nothing counts.
    """
    found = [(float(forward(batch, train=False)[0]), batch.weight) for batch in batches]
    total = weights = 0.0
    for loss, weight in team().in_order(found):
        total += loss * weight
        weights += weight
    return float(total / weights) if weights else math.nan


class StreamBatch(NamedTuple):
    """T steps of N streams: ``tokens`` (T + 1, N), the last of which is only predicted."""

    tokens: Array
    first: bool = True  # these are the beginnings of their streams: nothing came before
    dropout_seed: int = 0
    scheduled_sampling: float = 0.0  # with this probability a word before is the model's own, in training
    part: Part = WHOLE

    @property
    def weight(self) -> int:
        """Steps: every batch has as many streams."""
        return len(self.tokens) - 1


class PairBatch(NamedTuple):
    """Time runs down both: the source as it is, the target between <start> and <end>.

    Where words are copied, ``tokens`` and ``copied_from`` are of the extended vocabulary (:mod:`scratchlv.models.copying`).
    """

    source: Array  # (S, N)
    source_lengths: Array  # (N,), each 1 or more
    tokens: Array  # (T + 1, N): <start>, the words, <end>, padding
    lengths: Array  # (N,): how many of the T predictions count
    dropout_seed: int = 0
    word_weights: Array | None = None  # (T, N) or (N,): the loss of a word, or of a sentence's, is multiplied by it
    scheduled_sampling: float = 0.0  # with this probability a word before is the model's own, in training
    copied_from: Array | None = None  # (S, N): the words of the source; -1 is padding
    part: Part = WHOLE

    @property
    def weight(self) -> int:
        """Words of the target."""
        return self.lengths.sum()


class CaptionBatch(NamedTuple):
    """``pictures``: bytes (N, 64, 64, 3) for the conv extractor, or features (N, h, w, C). Time runs down ``tokens``."""

    pictures: Array
    tokens: Array  # (T + 1, N): <start>, the words, <end>, padding
    lengths: Array  # (N,): how many of the T predictions count
    dropout_seed: int = 0
    word_weights: Array | None = None  # (T, N) or (N,): the loss of a word, or of a sentence's, is multiplied by it
    scheduled_sampling: float = 0.0  # with this probability a word before is the model's own, in training
    part: Part = WHOLE

    @property
    def weight(self) -> int:
        """Words."""
        return self.lengths.sum()


class QuestionBatch(NamedTuple):
    """P pictures, bytes (P, 64, 64, 3) or features (P, h, w, C), and N questions about them. Time runs down ``tokens``."""

    pictures: Array
    picture_of: Array  # (N,): which of the P pictures a question is about
    tokens: Array  # (T, N): the words, padding
    lengths: Array  # (N,)
    answers: Array  # (N,); -1 where the true answer is none of those that can be given: it counts for nothing
    dropout_seed: int = 0
    attention_target: Array | None = None  # (N, hops, L): True where a hop ought to look, as far as it is known
    part: Part = WHOLE
    hops: int | None = None  # so many are made, of all that the model has; None: all

    @property
    def weight(self) -> int:
        """Questions whose answer can be given."""
        return (self.answers >= 0).sum()


class StoryBatch(NamedTuple):
    """N questions, each with its story. Time runs down ``tokens``.

    Stories say the same things again and again: each of the U different sentences stands here once, the first of them empty.
    """

    sentences: Array  # (U, J): the words, padding; sentence 0 is of padding alone, and is not there
    told: Array  # (N, S): which sentences the story has, the latest first; 0 where there is none
    tokens: Array  # (T, N): the words of the question, padding
    lengths: Array  # (N,)
    answers: Array  # (N,); -1 where the true answer is none of those that can be given: it counts for nothing
    dropout_seed: int = 0
    attention_target: Array | None = None  # (N, hops, S): True where a hop ought to look, as far as it is known
    part: Part = WHOLE

    @property
    def weight(self) -> int:
        """Questions whose answer can be given."""
        return (self.answers >= 0).sum()
