"""Of one captioner: how its words hang on the picture. The measures that ``scratchlv probe`` puts side by side.

Shapes: N captions, T words of the longest, L regions of D numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.data.vocabulary import pad
from scratchlv.decode import Reading, read
from scratchlv.device import place, to_host
from scratchlv.metrics.grounding import image_dependence
from scratchlv.tokens import START

_ROWS = 256  # captions with a region hidden, at a time


class Sentences(NamedTuple):
    """Captions as models read them."""

    tokens: Array  # (T + 1, N): <start>, the words, padding
    lengths: Array  # (N,)

    @classmethod
    def of(cls, captions: Sequence[Sequence[int]]) -> Sentences:
        """Of tokens, ``<end>`` among them where it was said."""
        tokens, lengths = pad([[START, *caption] for caption in captions])
        return cls(tokens, lengths - 1)

    def words(self, values: Array) -> list[Array]:
        """Of values (T, N) those of each caption's words."""
        return [values[:n, k] for k, n in enumerate(self.lengths)]


def read_with_others(model: Any, x: Array, sentences: Sentences, others: int) -> tuple[Reading, Array]:
    """What the model thinks of the words with their own pictures, and their image dependence (T, N) on them.

    ``x`` is what ``model.look`` gave of N pictures. The others of a picture are the ``others`` that follow it, around the end.
    """
    state, N = model.start_from(x), len(sentences.lengths)
    own = read(model, state, sentences.tokens)
    swapped = [read(model, state, sentences.tokens, (np.arange(N) + k) % N).log_probs for k in range(1, others + 1)]
    return own, image_dependence(own.log_probs, np.stack(swapped))


def read_with_hidden(model: Any, x: Array, sentences: Sentences, hidden: Array, neutral: Array) -> Array:
    """log p of each word (T, N) where the region ``hidden`` (T, N) of its picture has the features ``neutral`` (C,) instead.

    It is hidden from the first step on, as if the picture did not have it; where it is stays known.
    """
    tokens, lengths = sentences
    found = np.full((len(tokens) - 1, len(lengths)), np.nan)
    steps, captions = np.nonzero(np.arange(len(found))[:, None] < lengths)
    for at in range(0, len(steps), _ROWS):
        t, n = steps[at : at + _ROWS], captions[at : at + _ROWS]
        rows = np.arange(len(t))
        there = x[place(n, x)]  # (rows, L, D), a copy
        there[rows, place(hidden[t, n], x), : len(neutral)] = neutral
        last = int(t.max())
        log_probs = read(model, model.start_from(there), tokens[: last + 2, n]).log_probs
        found[t, n] = log_probs[t, rows]
    return found


def neutral_feature(x: Array, C: int) -> Array:
    """The mean feature (C,) of all regions of pictures (N, L, D)."""
    return x[..., :C].mean(axis=(0, 1))


class Occlusion(NamedTuple):
    """What hiding a region costs each word, (T, N) in nats: the most attended one, the least, and one at random."""

    most: Array
    least: Array
    random: Array


def occlude(model: Any, x: Array, sentences: Sentences, own: Reading, seed: int) -> Occlusion:
    """log p(word) with the picture as it is, less that with a region hidden. The random region is never the most attended."""
    alphas = to_host(own.alphas)  # (T, N, L)
    most = alphas.argmax(axis=-1)
    further = np.random.default_rng(seed).integers(1, alphas.shape[-1], most.shape)
    regions = most, alphas.argmin(axis=-1), (most + further) % alphas.shape[-1]
    neutral = neutral_feature(x, model.config.features)
    return Occlusion(*(own.log_probs - read_with_hidden(model, x, sentences, each, neutral) for each in regions))


def by_step(values: Array, least: int) -> list[tuple[int, float]]:
    """The means over captions of values (T, N), NaN where there is none, by the word's number from 1; of ``least`` captions."""
    counts = np.isfinite(values).sum(axis=1)
    return [(t + 1, float(np.nanmean(values[t]))) for t in range(len(values)) if counts[t] >= least]
