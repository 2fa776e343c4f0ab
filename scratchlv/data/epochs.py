"""An endless shuffle: which rows of a set are in which batch, as a pure function of the batch's number."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from scratchlv.arrays import Array

_POOL = 50  # batches: within so many, sequences are sorted by length


def rows_of_batch(n: int, step: int, size: int, seed: int) -> Array:
    """The rows, of ``n``, of batch number ``step``: every row once an epoch, in a new order each time.

    What is left at the end of an epoch, too little for a batch, is passed over; a set of fewer than ``size`` is one batch.
    """
    size = min(size, n)
    epoch, k = divmod(step, n // size)
    return _order(n, seed, epoch)[k * size : (k + 1) * size]


@lru_cache(maxsize=2)
def _order(n: int, seed: int, epoch: int) -> Array:
    """The order of an epoch; it is asked for at every step, and shuffling 150,000 captions takes milliseconds."""
    return np.random.default_rng([seed, 2, epoch]).permutation(n)


class LengthBuckets:
    """The same, with sequences of about one length side by side: a batch is as long as its longest, and little is padding.

    An epoch is shuffled, sorted by length within pools of many batches, and the batches are shuffled again.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        self._epoch: tuple[tuple[int, int, int], list[Array]] | None = None  # the last one that was asked for

    def rows_of_batch(self, step: int, size: int, seed: int) -> Array:
        """As :func:`rows_of_batch`."""
        n = len(self.lengths)
        size = min(size, n)
        epoch, k = divmod(step, n // size)
        key = size, seed, epoch
        if self._epoch is None or self._epoch[0] != key:
            self._epoch = key, self._batches(size, seed, epoch)
        return self._epoch[1][k]

    def _batches(self, size: int, seed: int, epoch: int) -> list[Array]:
        rng = np.random.default_rng([seed, 2, epoch])
        whole = (
            len(self.lengths) // size * size
        )  # the rest, too few for a batch, is left out at random and not by length
        order = rng.permutation(len(self.lengths))[:whole]
        batches = []
        for at in range(0, len(order), _POOL * size):
            pool = order[at : at + _POOL * size]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[k : k + size] for k in range(0, len(pool), size)]
        return [batches[i] for i in rng.permutation(len(batches))]
