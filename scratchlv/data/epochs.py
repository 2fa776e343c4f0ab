"""An endless shuffle: which rows of a set are in which batch, as a pure function of the batch's number."""

from functools import lru_cache

import numpy as np

from scratchlv.arrays import Array


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
