"""How a batch is shared: each process has some of its rows, and what it computes adds up to what one alone would.

The loss is a mean over all that counts in the batch, W words or questions. A part with w of them has the loss

    L_part = Σ_{its words} ℓ / W = (w / W) · its own mean            so that L = Σ_parts L_part, and dL = Σ_parts dL_part

and nothing else is needed: a part with more words weighs more. How many count in the whole batch each process knows without
asking, because a batch is a function of the number of its step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class TooFewRows(ValueError):
    """A batch has fewer rows than there are shares."""


class Share(NamedTuple):
    """Number ``number`` of ``of`` shares."""

    number: int = 0
    of: int = 1

    def rows(self, n: int) -> slice:
        """Which of ``n`` rows it has; sizes differ by one at the most.

        Raises:
            TooFewRows: there are fewer rows than shares.
        """
        if n < self.of:
            raise TooFewRows(f"{n} rows cannot be shared by {self.of}")
        return slice(n * self.number // self.of, n * (self.number + 1) // self.of)


ALL = Share()  #: the only one


def cut(n: int, number: int, of: int, unit: int = 64) -> slice:
    """Part ``number`` of ``of`` into which ``n`` numbers are cut, each but the last a multiple of ``unit``; some may be empty."""
    units = -(-n // unit)
    return slice(min(n, unit * (units * number // of)), min(n, unit * (units * (number + 1) // of)))


class Part(NamedTuple):
    """Which part of a batch this is."""

    first: int = 0  # the number of its first row in the batch,
    rows: int = 0  # which has so many; 0: this is the whole batch
    share: float = 1.0  # of what counts in the batch: words, or questions that can be answered
    taught: float = 1.0  # share of the hops whose attention is taught
    words: Any = None  # all different words that the whole batch reads, (U,) in their order; None: not looked for

    @property
    def window(self) -> tuple[int, int] | None:
        """What :mod:`scratchlv.ops` calls ``dropout`` with: where its rows stand in the batch."""
        return (self.first, self.rows) if self.rows else None


WHOLE = Part()

#: A model's backward pass calls it with gradients by name that are final: they may be sent while it goes on.
Ready = Callable[[dict[str, Any]], object]


def nobody_waits(grads: dict[str, Any]) -> None:
    """The default of a backward pass: whoever called it takes all gradients at the end."""


MOST_TOKENS = 20_000  #: in a batch, of which it pays to find the different words


def words_of(tokens: np.ndarray) -> np.ndarray | None:
    """The different ones of all ``tokens`` that a batch reads; None of so many that nearly all words are among them."""
    return np.unique(tokens) if tokens.size <= MOST_TOKENS else None


def share_of(counts: float, of: float) -> float:
    """``counts / of``, 0 where nothing counts."""
    return float(counts) / float(of) if of else 0.0
