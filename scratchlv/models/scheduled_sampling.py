"""Scheduled sampling (Bengio et al. 2015): in training, too, the word before is sometimes what the model itself has said.

In teacher forcing the word before is always the true one; when the model speaks, it is the model's own, and after a mistake it
stands where it never stood in training: errors accumulate. So with probability ε the true word y_{t-1} gives way to

    y'_{t-1} ~ ŷ_{t-1}                "sample"
    y'_{t-1} = argmax ŷ_{t-1}         "greedy"

where ŷ_{t-1} was said after y'_1 … y'_{t-2}, by the model as it speaks: without dropout, and with the expected context where hard
attention would draw. What is to be said next stays the true word y_t.

**No gradient flows through a word that was drawn**: y' is a number, like y. So the words are drawn first, one step after the
other without a cache, and then the whole sentence is one ordinary forward and backward pass that reads y' instead of y. Words
that are never fed back when the model speaks are not said here either: <pad>, <start>, <unk>, and <end>, after which nothing is
said.

Shapes: T steps, N sentences, V words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import place
from scratchlv.tokens import SPECIALS

CHOICES = ("sample", "greedy")
Step = Callable[[Any, Array], tuple[Array, Any]]


def words_before(
    state: Any,
    step: Step,
    tokens: Array,
    lengths: Array | None,
    probability: float,
    choice: str,
    seed: int,
    window: tuple[int, int] | None = None,
) -> Array:
    """y' (T, N): ``tokens[:-1]``, each but the first, <start>, with ``probability`` the model's own word instead.

    ``step(state, words) -> (log_probs, state)`` is the model's; ``tokens`` are (T + 1, N), ``lengths`` (N,) how many predictions
    count. A function of the seed and of the place: longer sentences beside it change none. ``window`` says where the sentences
    stand in a batch that is shared.
    """
    said = tokens[:-1].copy()
    T, N = said.shape
    first, rows = window or (0, N)

    def random(which: int) -> Array:
        return np.random.default_rng([seed, which]).random((T, rows))[:, first : first + N]

    drawn = random(5) < probability  # where the model's own word is read
    drawn[:1] = False
    last = max(np.flatnonzero(drawn.any(axis=1)).tolist(), default=0)
    own = place(drawn, said)
    if lengths is not None:
        own = own & (np.arange(T, like=lengths)[:, None] < lengths)
    draws = place(random(6), said)
    for t in range(1, last + 1):
        log_probs, state = step(state, said[t - 1])
        said[t] = np.where(own[t], choose(log_probs, draws[t], choice), said[t])
    return said


def choose(log_probs: Array, draws: Array, choice: str) -> Array:
    """The words (N,) that ``log_probs`` (N, V) say, with ``draws`` (N,) in [0, 1); never one of the special ones."""
    words = log_probs[:, len(SPECIALS) :]
    if choice == "greedy":
        return len(SPECIALS) + words.argmax(axis=1)
    p = np.exp(words - words.max(axis=1, keepdims=True)).astype(np.float64)
    reached = np.cumsum(p, axis=1)
    passed = reached > draws[:, None] * reached[:, -1:]  # the inverse of the cumulative distribution
    return len(SPECIALS) + passed.argmax(axis=1)
