"""Pictures with captions, ready to be cut into batches: from Scenes, or from photographs through their features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import CaptionBatch, dropout_seed, mean_loss
from scratchlv.data.epochs import rows_of_batch
from scratchlv.data.scenes import Scene
from scratchlv.data.vocabulary import Vocabulary, pad
from scratchlv.tokens import END, START
from scratchlv.vision.feature_store import read_ahead


@dataclass(frozen=True)
class CaptionSet:
    """``pictures`` (n, …): images or features, in memory or on disk; each caption belongs to ``pictures[picture_of[k]]``."""

    pictures: Array
    captions: list[list[int]]  # tokens, without <start> and <end>
    picture_of: Array  # (number of captions,)
    vocabulary: Vocabulary
    names: list[str]  # of the pictures
    scenes: list[Scene] | None = None  # the truth, where it is known
    texts: list[str] | None = None  # of the captions, as people wrote them: what is said is compared with these

    def batch(self, rows: Array, dropout_seed: int = 0) -> CaptionBatch:
        """The captions ``rows`` and their pictures."""
        sentences = [[START, *self.captions[k], END] for k in rows]
        tokens, lengths = pad(sentences)  # (T + 1, N), (N,)
        return CaptionBatch(np.asarray(self.pictures[self.picture_of[rows]]), tokens, lengths - 1, dropout_seed)

    def training_batch(self, step: int, size: int, seed: int) -> CaptionBatch:
        """Batch number ``step`` of an endless shuffle: every caption once an epoch, a new order each time."""
        n = len(self.captions)
        batch = self.batch(rows_of_batch(n, step, size, seed), dropout_seed(seed, step))
        read_ahead(self.pictures, self.picture_of[rows_of_batch(n, step + 1, size, seed)])
        return batch

    def blind(self) -> CaptionSet:
        """The same captions, each with the picture of another image: what is learned here was not seen."""
        return replace(self, picture_of=(self.picture_of + 1) % len(self.pictures))

    def mean_loss(self, model: Any, size: int = 100, most: int = 2000) -> float:
        """Loss per word, in nats, over the first ``most`` captions; every word counts alike."""
        rows = np.arange(min(most, len(self.captions)))
        return mean_loss(model.forward, (self.batch(rows[at : at + size]) for at in range(0, len(rows), size)))
