"""Generating words from any model that has ``start`` and ``step``."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchlv.data.vocabulary import END, START

Array = Any


class Generator(Protocol):
    """What a model needs so that words can be drawn from it."""

    def start(self, pictures: Array) -> Any: ...
    def step(self, state: Any, tokens: Array) -> tuple[Array, Any]: ...


class Generated(NamedTuple):
    """One sentence: its tokens, each with its probability, and where the model looked; ``<end>`` is last if it came."""

    tokens: Array  # (T,)
    probabilities: Array  # (T,)
    alphas: Array  # (T, L)

    @property
    def finished(self) -> bool:
        """Whether the model ended the sentence itself."""
        return self.tokens.size > 0 and int(self.tokens[-1]) == END


def greedy(model: Generator, inputs: Array, max_length: int = 40) -> list[Generated]:
    """The likeliest word, each time, until every sentence has ended or is ``max_length`` words long."""
    state = model.start(inputs)
    n = state.h.shape[0]
    tokens = np.full(n, START)
    said: list[Array] = []
    probabilities: list[Array] = []
    alphas: list[Array] = []
    ended = np.zeros(n, bool)
    while not ended.all() and len(said) < max_length:
        log_probs, state = model.step(state, tokens)
        tokens = log_probs.argmax(axis=1)
        said.append(tokens)
        probabilities.append(np.exp(log_probs[np.arange(n), tokens]))
        alphas.append(state.alpha)
        ended |= tokens == END
    if not said:
        return []
    return [
        Generated(*(a[: _length(t)] for a in (t, q, w)))
        for t, q, w in zip(*(np.stack(a, axis=1) for a in (said, probabilities, alphas)), strict=True)
    ]


def _length(tokens: Array) -> int:
    ends = np.flatnonzero(tokens == END)
    return int(ends[0]) + 1 if ends.size else tokens.size
