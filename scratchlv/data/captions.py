"""Pictures with captions, ready to be cut into batches: from Scenes, or from photographs through their features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import CaptionBatch, dropout_seed, mean_loss
from scratchlv.data.epochs import LengthBuckets, rows_of_batch
from scratchlv.data.scenes import Scene
from scratchlv.data.vocabulary import Vocabulary, pad
from scratchlv.tokens import END, START
from scratchlv.vision.feature_store import read_ahead


@dataclass(frozen=True)
class CaptionSet:
    """``pictures`` (n, …): images or features, in memory or on disk; each caption belongs to ``pictures[picture_of[k]]``.

    Where ``mirrored`` has the same pictures seen in a mirror, training is shown these half of the time: left or right, a dog is
    a dog. ``by_length`` sets captions of about one length side by side, so that little of a batch is padding.
    """

    pictures: Array
    captions: list[list[int]]  # tokens, without <start> and <end>
    picture_of: Array  # (number of captions,)
    vocabulary: Vocabulary
    names: list[str]  # of the pictures
    scenes: list[Scene] | None = None  # the truth, where it is known
    texts: list[str] | None = None  # of the captions, as people wrote them: what is said is compared with these
    mirrored: Array | None = None
    by_length: bool = False

    def batch(self, rows: Array, dropout_seed: int = 0, mirrored: Array | None = None) -> CaptionBatch:
        """The captions ``rows`` and their pictures; in a mirror where ``mirrored`` (N,) says so."""
        sentences = [[START, *self.captions[k], END] for k in rows]
        tokens, lengths = pad(sentences)  # (T + 1, N), (N,)
        return CaptionBatch(self._shown(rows, mirrored), tokens, lengths - 1, dropout_seed)

    def training_batch(self, step: int, size: int, seed: int) -> CaptionBatch:
        """Batch number ``step`` of an endless shuffle: every caption once an epoch, a new order each time."""
        batch = self.batch(self._rows(step, size, seed), dropout_seed(seed, step), self._coins(step, size, seed))
        rows, coins = self._rows(step + 1, size, seed), self._coins(step + 1, size, seed)
        for pictures, some in self._sides(rows, coins):
            read_ahead(pictures, self.picture_of[rows[some]])
        return batch

    def _rows(self, step: int, size: int, seed: int) -> Array:
        if self.by_length:
            return self._buckets.rows_of_batch(step, size, seed)
        return rows_of_batch(len(self.captions), step, size, seed)

    @cached_property
    def _buckets(self) -> LengthBuckets:
        return LengthBuckets([len(caption) for caption in self.captions])

    def _coins(self, step: int, size: int, seed: int) -> Array | None:
        """Which of a batch are shown in a mirror; a batch of its own draws them, as it does its dropout."""
        if self.mirrored is None:
            return None
        return np.random.default_rng([seed, 3, step]).random(min(size, len(self.captions))) < 0.5

    def _shown(self, rows: Array, mirrored: Array | None) -> Array:
        """The pictures (N, …) of the captions ``rows``, in memory."""
        if mirrored is None:
            return np.asarray(self.pictures[self.picture_of[rows]])
        rows = np.asarray(rows)
        shown = np.empty((len(rows), *self.pictures.shape[1:]), self.pictures.dtype)
        for pictures, some in self._sides(rows, mirrored):
            shown[some] = np.asarray(pictures[self.picture_of[rows[some]]])
        return shown

    def _sides(self, rows: Array, mirrored: Array | None) -> list[tuple[Array, Array]]:
        """The pictures, and which of ``rows`` are shown them; then the same of those in a mirror."""
        if mirrored is None:
            return [(self.pictures, np.ones(len(rows), bool))]
        assert self.mirrored is not None
        return [(self.pictures, ~mirrored), (self.mirrored, mirrored)]

    def blind(self) -> CaptionSet:
        """The same captions, each with the picture of another image: what is learned here was not seen."""
        return replace(self, picture_of=(self.picture_of + 1) % len(self.pictures))

    def mean_loss(self, model: Any, size: int = 100, most: int = 2000) -> float:
        """Loss per word, in nats, over the first ``most`` captions; every word counts alike."""
        rows = np.arange(min(most, len(self.captions)))
        return mean_loss(model.forward, (self.batch(rows[at : at + size]) for at in range(0, len(rows), size)))
