"""What a step of training or of use is given: data makes these, models read them.

N sequences side by side, T steps; time runs down. Arrays are NumPy's; a model sends them to where its parameters are.
"""

from __future__ import annotations

from typing import NamedTuple

from scratchlv.arrays import Array


class StreamBatch(NamedTuple):
    """T steps of N streams: ``tokens`` (T + 1, N), the last of which is only predicted."""

    tokens: Array
    first: bool = True  # these are the beginnings of their streams: nothing came before
    dropout_seed: int = 0


class PairBatch(NamedTuple):
    """Time runs down both: the source as it is, the target between <start> and <end>."""

    source: Array  # (S, N)
    source_lengths: Array  # (N,), each 1 or more
    tokens: Array  # (T + 1, N): <start>, the words, <end>, padding
    lengths: Array  # (N,): how many of the T predictions count
    dropout_seed: int = 0


class CaptionBatch(NamedTuple):
    """``pictures``: bytes (N, 64, 64, 3) for the conv extractor, or features (N, h, w, C). Time runs down ``tokens``."""

    pictures: Array
    tokens: Array  # (T + 1, N): <start>, the words, <end>, padding
    lengths: Array  # (N,): how many of the T predictions count
    dropout_seed: int = 0


class QuestionBatch(NamedTuple):
    """P pictures, bytes (P, 64, 64, 3) or features (P, h, w, C), and N questions about them. Time runs down ``tokens``."""

    pictures: Array
    picture_of: Array  # (N,): which of the P pictures a question is about
    tokens: Array  # (T, N): the words, padding
    lengths: Array  # (N,)
    answers: Array  # (N,); -1 where the true answer is none of those that can be given: it counts for nothing
    dropout_seed: int = 0
    attention_target: Array | None = None  # (N, hops, L): True where a hop ought to look, as far as it is known


class StoryBatch(NamedTuple):
    """N questions, each with its story. Time runs down ``tokens``; of the sentences, the latest is the first."""

    sentences: Array  # (N, S, J): the words, padding; a sentence of padding alone is not there
    tokens: Array  # (T, N): the words of the question, padding
    lengths: Array  # (N,)
    answers: Array  # (N,); -1 where the true answer is none of those that can be given: it counts for nothing
    dropout_seed: int = 0
    attention_target: Array | None = None  # (N, hops, S): True where a hop ought to look, as far as it is known
