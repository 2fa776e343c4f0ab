"""Does a captioner look at the picture? Figures of log probabilities and of attention, whoever computed them.

    image dependence   log p(y_t | picture, y_<t) − log 1/K Σ_k p(y_t | picture k, y_<t)      of one word, in nats
    attention entropy  −Σ_l α_l ln α_l      0: one region; ln L: all alike
    hidden regions     log p(y_t | picture) − log p(y_t | the picture without one region)

Image dependence is the pointwise mutual information of word and picture, given the words before: the K other pictures stand for
"any picture". A word of 0 nats is the language model's own; on average over references it is what the picture is worth.

Intervals are of 95%, by the bootstrap (Efron 1979) over captions: the words of one caption are drawn together, for they hang
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_RESAMPLES = 2000


class Estimate(NamedTuple):
    """A mean, and the interval in which 95% of its resamples lie."""

    mean: float
    low: float
    high: float


def image_dependence(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What each word owes to its picture, in nats: ``own`` (T, N) are log p with it, ``others`` (K, T, N) with K others.

    Of few others the mean of their probabilities is uncertain, and its logarithm too small by about half of its relative
    variance: K of 10 and more.
    """
    return own - (np.logaddexp.reduce(others, axis=0) - np.log(len(others)))


def attention_entropy(alphas: np.ndarray) -> np.ndarray:
    """−Σ α ln α over the last axis, in nats; weights of 0 count for nothing."""
    alphas = np.asarray(alphas, np.float64)
    return -(alphas * np.log(np.where(alphas > 0, alphas, 1))).sum(axis=-1)


def larger_share(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 where the first is larger, 0 where the second is, and a half where they are equal: the mean is a share."""
    return (np.sign(np.asarray(first) - np.asarray(second)) + 1) / 2


def estimate(values: Sequence[np.ndarray], seed: int = 0) -> Estimate:
    """The mean of all values, those of one caption in an array each, with its interval. NaN where there are none."""
    sums = np.array([np.sum(each, dtype=np.float64) for each in values if np.size(each)])
    counts = np.array([np.size(each) for each in values if np.size(each)])
    if not counts.size:
        return Estimate(np.nan, np.nan, np.nan)
    G = len(counts)
    drawn = np.random.default_rng(seed).multinomial(G, np.full(G, 1 / G), size=_RESAMPLES)  # how often each caption
    low, high = np.quantile(drawn @ sums / (drawn @ counts), (0.025, 0.975))
    return Estimate(float(sums.sum() / counts.sum()), float(low), float(high))
