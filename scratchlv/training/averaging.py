"""The mean of the weights over the last steps (Polyak and Juditsky 1992): SGD goes round a minimum, and its mean is nearer to it.

    w̄ = 1/n Σ_{t > t_0} w_t        as it goes:  w̄ ← w̄ + (w_t - w̄) / n

It begins after a step that is given; or, as in AWD-LSTM (Merity et al. 2018, NT-ASGD), after the first validation that is worse
than the best of all but the last k before it. Training goes on with w; validation, and whoever uses the run, is given w̄.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array


class Averaging(NamedTuple):
    """When to begin: after ``first`` steps, or, where that is 0, after ``patience`` validations that brought nothing better."""

    first: int = 0
    patience: int = 0

    def begins(self, step: int, losses: list[float]) -> bool:
        """Whether the weights after ``step`` are the first of the mean; ``losses`` are those of all validations so far."""
        if self.first:
            return step > self.first
        earlier = losses[: -1 - self.patience]
        return bool(earlier) and losses[-1] > min(earlier)


class WeightAverage:
    """The running mean of ``values``, a flat buffer that an optimiser changes."""

    def __init__(self, values: Array, averaging: Averaging) -> None:
        self.values, self.mean, self.averaging = values, np.zeros_like(values), averaging
        self.n = 0  #: steps in the mean

    def after_step(self, step: int, losses: list[float]) -> None:
        """Take in what that step came to, if it is not too early."""
        if self.n or self.averaging.begins(step, losses):
            self.n += 1
            self.mean += (self.values - self.mean) / self.values.dtype.type(self.n)

    @contextmanager
    def in_place(self, settle: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Inside the ``with`` block the mean stands in the place of the values, if there is one.

        ``settle`` waits for other processes that have the same values, and do the same.
        """
        if not self.n:
            yield
            return
        values = self.values.copy()
        settle()
        self.values[...] = self.mean
        settle()
        try:
            yield
            settle()
        finally:
            self.values[...] = values
        settle()
