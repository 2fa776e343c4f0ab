"""One long stream of words for a language model, cut into streams that run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import StreamBatch, dropout_seed, mean_loss
from scratchlv.parallel.shares import ALL, Part, Share, words_of
from scratchlv.parallel.team import Team, joined, team


def layout(words: int, streams: int, steps: int) -> tuple[int, int]:
    """How many streams, read how many steps at a time, a text of so many words can have: as asked for, or fewer.

    The text has two words or more: one to read, and one to predict.
    """
    streams = max(1, min(streams, words // (steps + 1)))
    return streams, min(steps, words // streams - 1)


@dataclass(frozen=True)
class TokenStream:
    """``ids`` (n,), the words in the order of the text; each sentence ends in its end symbol."""

    ids: Array

    def training_batch(self, step: int, streams: int, steps: int, seed: int, share: Share = ALL) -> StreamBatch:
        """Batch number ``step``: every stream goes on where the batch before left off; an epoch later it begins again.

        A ``share`` is some of the streams, always the same.

        Each epoch cuts the text at another place, so that the borders between streams and batches move. The text can have
        so many ``streams`` and ``steps`` (see :func:`layout`).
        """
        length = len(self.ids) // streams
        per_epoch = (length - 1) // steps
        epoch, k = divmod(step, per_epoch)
        offset = int(np.random.default_rng([seed, 3, epoch]).integers(len(self.ids)))
        first = offset + np.arange(streams) * length + k * steps  # (streams,)
        tokens = self.ids[(first + np.arange(steps + 1)[:, None]) % len(self.ids)]  # (steps + 1, streams)
        if share == ALL:
            return StreamBatch(tokens, k == 0, dropout_seed(seed, step))
        some = share.rows(streams)
        part = Part(some.start, streams, (some.stop - some.start) / streams, words=words_of(tokens[:-1]))
        return StreamBatch(tokens[:, some], k == 0, dropout_seed(seed, step), part=part)

    def mean_loss(self, model: Any, streams: int = 10, steps: int = 50, reader: Any = None) -> float:
        """Loss per word, in nats, over the whole text but the first word of each stream; the state is carried on.

        ``reader`` reads as the model does, which is who reads otherwise. Processes that work together have some streams each;
        not where the sum must be the same for every number of them: float32 has other digits for other widths.
        """
        reader = reader or model
        streams, steps = layout(len(self.ids), streams, steps)
        length = len(self.ids) // streams
        columns = self.ids[: streams * length].reshape(streams, length).T  # (length, streams)
        together = team()
        if together.size > 1 and not together.shards:
            return self._shared_loss(model, reader, columns, steps)
        return _loss_of(model, reader, columns, steps)

    def _shared_loss(self, model: Any, reader: Any, columns: Array, steps: int) -> float:
        """The mean of the losses of everybody's streams, by how many they are."""
        own = columns[:, team().rank :: team().size]
        loss = _loss_of(model, reader, own, steps) if own.shape[1] else 0.0
        found = team().exchange((loss, own.shape[1]))
        return sum(loss * n for loss, n in found) / columns.shape[1]


def _loss_of(model: Any, reader: Any, columns: Array, steps: int) -> float:
    """Loss per word of streams (length, N) that are read from their beginning."""
    state = model.zero_state(columns.shape[1])

    def forward(batch: StreamBatch, *, train: bool) -> tuple[Any, Any]:
        nonlocal state
        loss, state, cache = reader.read(batch.tokens, state, train=train)
        return loss, cache

    batches = (StreamBatch(columns[at : at + steps + 1], at == 0) for at in range(0, len(columns) - 1, steps))
    with joined(Team()):  # each process has all of these
        return mean_loss(forward, batches)
