"""Pairs of sentences, ready to be cut into batches of like lengths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import PairBatch, dropout_seed, mean_loss
from scratchlv.data.epochs import LengthBuckets
from scratchlv.data.vocabulary import Vocabulary, pad, part_of_texts
from scratchlv.parallel.shares import ALL, Share
from scratchlv.parallel.team import team
from scratchlv.tokens import END, START


@dataclass(frozen=True, eq=False)
class PairSet:
    """``sources`` and ``targets`` as numbers of words, without end symbols; ``words`` are those of the targets, as they are.

    Where words are copied, ``copied_from`` are the sources as the targets' vocabulary numbers them, extended by those of a
    source's words that it lacks; so are the targets.
    """

    sources: list[list[int]]
    targets: list[list[int]]
    source_vocabulary: Vocabulary
    vocabulary: Vocabulary
    words: list[list[str]]
    copied_from: list[list[int]] | None = None

    def batch(self, rows: Array, dropout_seed: int = 0) -> PairBatch:
        """The pairs ``rows``, side by side."""
        source, source_lengths = pad([self.sources[k] for k in rows])  # (S, N), (N,)
        tokens, lengths = pad([[START, *self.targets[k], END] for k in rows])  # (T + 1, N), (N,)
        copied_from = None if self.copied_from is None else pad([self.copied_from[k] for k in rows], -1)[0]
        return PairBatch(source, source_lengths, tokens, lengths - 1, dropout_seed, copied_from=copied_from)

    def training_batch(self, step: int, size: int, seed: int, share: Share = ALL) -> PairBatch:
        """Batch number ``step`` of an endless shuffle: every pair once an epoch, beside others of about its length."""
        rows, seed_of_step = self._buckets.rows_of_batch(step, size, seed), dropout_seed(seed, step)
        if share == ALL:
            return self.batch(rows, seed_of_step)
        some = share.rows(len(rows))
        part = part_of_texts([self.targets[k] for k in rows], some, len(self.vocabulary))
        return self.batch(rows[some], seed_of_step)._replace(part=part)

    @cached_property
    def _buckets(self) -> LengthBuckets:
        return LengthBuckets([len(source) for source in self.sources])

    def mean_loss(self, model: Any, size: int = 100, most: int = 2000) -> float:
        """Loss per word of the target, in nats, over the first ``most`` pairs; every word counts alike."""
        return mean_loss(model.forward, map(self.batch, team().mine(self.by_length(size, most))))

    def by_length(self, size: int, most: int | None = None) -> list[Array]:
        """The first ``most`` pairs in batches, the shortest sources first."""
        lengths = [len(source) for source in self.sources[:most]]
        order = np.argsort(lengths, kind="stable")
        return [order[at : at + size] for at in range(0, len(order), size)]
