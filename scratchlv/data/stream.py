"""One long stream of words for a language model, cut into streams that run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.batches import StreamBatch, dropout_seed, mean_loss


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

    def training_batch(self, step: int, streams: int, steps: int, seed: int) -> StreamBatch:
        """Batch number ``step``: every stream goes on where the batch before left off; an epoch later it begins again.

        Each epoch cuts the text at another place, so that the borders between streams and batches move. The text can have
        so many ``streams`` and ``steps`` (see :func:`layout`).
        """
        length = len(self.ids) // streams
        per_epoch = (length - 1) // steps
        epoch, k = divmod(step, per_epoch)
        offset = int(np.random.default_rng([seed, 3, epoch]).integers(len(self.ids)))
        first = offset + np.arange(streams) * length + k * steps  # (streams,)
        places = (first + np.arange(steps + 1)[:, None]) % len(self.ids)  # (steps + 1, streams)
        return StreamBatch(self.ids[places], k == 0, dropout_seed(seed, step))

    def mean_loss(self, model: Any, streams: int = 10, steps: int = 50, reader: Any = None) -> float:
        """Loss per word, in nats, over the whole text but the first word of each stream; the state is carried on.

        ``reader`` reads as the model does, which is who reads otherwise.
        """
        reader = reader or model
        streams, steps = layout(len(self.ids), streams, steps)
        length = len(self.ids) // streams
        columns = self.ids[: streams * length].reshape(streams, length).T  # (length, streams)
        state = model.zero_state(streams)

        def forward(batch: StreamBatch, *, train: bool) -> tuple[Any, Any]:
            nonlocal state
            loss, state, cache = reader.read(batch.tokens, state, train=train)
            return loss, cache

        batches = (StreamBatch(columns[at : at + steps + 1], at == 0) for at in range(0, length - 1, steps))
        return mean_loss(forward, batches)
