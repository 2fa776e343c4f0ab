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
from scratchlv.data.views import in_memory
from scratchlv.data.vocabulary import Vocabulary, pad, part_of_texts
from scratchlv.parallel.shares import ALL, WHOLE, Part, Share
from scratchlv.parallel.team import team
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
        return CaptionBatch(self.shown(self.picture_of[rows], mirrored), tokens, lengths - 1, dropout_seed)

    def training_batch(self, step: int, size: int, seed: int, share: Share = ALL) -> CaptionBatch:
        """Batch number ``step`` of an endless shuffle: every caption once an epoch, a new order each time.

        Of a ``share`` no other pictures are read.
        """
        (rows, coins, part), (following, coins_after, _) = (
            self._some_rows(k, size, seed, share) for k in (step, step + 1)
        )
        batch = self.batch(rows, dropout_seed(seed, step), coins)._replace(part=part)
        self.read_ahead(self.picture_of[following], coins_after)
        return batch

    def _some_rows(self, step: int, size: int, seed: int, share: Share) -> tuple[Array, Array | None, Part]:
        """The rows of a share of batch number ``step``, their coins, and which part that is."""
        rows = self._rows(step, size, seed)
        coins = self.coins(len(rows), step, seed)
        if share == ALL:
            return rows, coins, WHOLE
        some = share.rows(len(rows))
        part = part_of_texts([self.captions[k] for k in rows], some, len(self.vocabulary))
        return rows[some], None if coins is None else coins[some], part

    def _rows(self, step: int, size: int, seed: int) -> Array:
        if self.by_length:
            return self._buckets.rows_of_batch(step, size, seed)
        return rows_of_batch(len(self.captions), step, size, seed)

    @cached_property
    def _buckets(self) -> LengthBuckets:
        return LengthBuckets([len(caption) for caption in self.captions])

    # --- the pictures ------------------------------------------------------------------------------------------------

    def coins(self, n: int, step: int, seed: int) -> Array | None:
        """Which of the ``n`` pictures of batch number ``step`` are shown in a mirror (n,); None where there is none."""
        return None if self.mirrored is None else np.random.default_rng([seed, 3, step]).random(n) < 0.5

    def shown(self, numbers: Array, mirrored: Array | None = None) -> Array:
        """The pictures ``numbers`` (N, …), in memory; in a mirror where ``mirrored`` (N,) says so."""
        if mirrored is None:
            return in_memory(self.pictures[numbers])
        pictures = np.empty((len(numbers), *self.pictures.shape[1:]), self.pictures.dtype)
        for side, some in self._sides(mirrored):
            pictures[some] = np.asarray(side[numbers[some]])
        return pictures

    def read_ahead(self, numbers: Array, mirrored: Array | None = None) -> None:
        """What :meth:`shown` will be asked for soon."""
        if mirrored is None:
            read_ahead(self.pictures, numbers)
            return
        for side, some in self._sides(mirrored):
            read_ahead(side, numbers[some])

    def _sides(self, mirrored: Array) -> list[tuple[Any, Array]]:
        """The pictures, and which of a batch are shown as they are; those in a mirror, and which are these."""
        assert self.mirrored is not None
        return [(self.pictures, ~mirrored), (self.mirrored, mirrored)]

    def blind(self) -> CaptionSet:
        """The same captions, each with the picture of another image: what is learned here was not seen."""
        return replace(self, picture_of=(self.picture_of + 1) % len(self.pictures))

    def mean_loss(self, model: Any, size: int = 100, most: int = 2000) -> float:
        """Loss per word, in nats, over the first ``most`` captions; every word counts alike."""
        rows = np.arange(min(most, len(self.captions)))
        own = team().mine(range(0, len(rows), size))
        return mean_loss(model.forward, (self.batch(rows[at : at + size]) for at in own))
