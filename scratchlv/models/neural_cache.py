"""A neural cache: what was said lately, in a like state, is likelier than the model says (Grave, Joulin and Usunier 2017).

    p(w | y_1 … y_t) = (1 - λ) p_model(w) + λ Σ_{i<t: y_{i+1}=w} exp(θ h_t · h_i) / Σ_{i<t} exp(θ h_t · h_i)

over the last n states, each kept with the word that came after it. Nothing is trained: it serves evaluation alone.

Shapes: T steps, N streams, H wide state, M pairs that are kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import to_host
from scratchlv.errors import UserError


class CacheSettings(NamedTuple):
    """How many words it keeps, how much likeness counts, and its share of the probability."""

    window: int = 500  # n
    sharpness: float = 0.3  # θ
    share: float = 0.1  # λ


def parse(text: str) -> CacheSettings:
    """``N``, ``N,THETA`` or ``N,THETA,LAMBDA``.

    Raises:
        UserError: it is none of these, or a number is out of range.
    """
    window, *others = text.split(",")
    try:
        settings = CacheSettings(int(window), *map(float, others))
    except (ValueError, TypeError):
        raise UserError(f"--neural-cache {text}: give N, N,THETA or N,THETA,LAMBDA, such as 500,0.3,0.1") from None
    if settings.window < 1 or not 0 <= settings.sharpness < np.inf or not 0 <= settings.share < 1:
        raise UserError(f"--neural-cache {text}: N is 1 or more, THETA 0 or more, LAMBDA 0 or more and below 1")
    return settings


class NeuralCache:
    """Reads a text as a language model does, with a memory of its own; the text is read in order, from its beginning."""

    def __init__(self, model: Any, settings: CacheSettings) -> None:
        self.model, self.settings = model, settings
        self._states: Array | None = None  # (M, N, H)
        self._words: Array | None = None  # (M, N)

    def read(self, tokens: Array, state: Any, *, train: bool = False) -> tuple[float, Any, None]:
        """Mean loss of predicting ``tokens[1:]`` from ``tokens[:-1]`` (T + 1, N), and the state after it."""
        losses, h, state = self.model.losses(tokens, state)
        likely = self._remembered(to_host(h).astype(np.float64), tokens[1:])
        share = np.where(np.isnan(likely), 0, self.settings.share)  # of the first word of all nothing is remembered
        p = (1 - share) * np.exp(-to_host(losses).astype(np.float64)) + share * np.nan_to_num(likely)
        return float(-np.log(p).mean()), state, None

    def _remembered(self, h: Array, words: Array) -> Array:
        """How likely the memory finds each of the ``words`` (T, N); NaN where it is empty."""
        T, M = len(h), 0 if self._states is None else len(self._states)
        states = h if self._states is None else np.concatenate([self._states, h])  # (M + T, N, H)
        said = words if self._words is None else np.concatenate([self._words, words])  # (M + T, N)
        likeness = self.settings.sharpness * np.einsum("tnh,inh->nti", h, states)  # (N, T, M + T)
        now, then = np.arange(M, M + T)[:, None], np.arange(M + T)
        there = (then < now) & (then >= now - self.settings.window)
        likeness = np.where(there, likeness, -np.inf)
        most = likeness.max(axis=2, keepdims=True)
        weights = np.exp(likeness - np.where(np.isfinite(most), most, 0))
        same = said.T[:, None, :] == words.T[:, :, None]  # (N, T, M + T)
        self._states, self._words = states[-self.settings.window :], said[-self.settings.window :]
        with np.errstate(invalid="ignore"):
            return ((weights * same).sum(axis=2) / weights.sum(axis=2)).T
