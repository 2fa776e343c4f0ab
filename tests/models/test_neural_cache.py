"""The neural cache: its equation word by word, its window, and that it does not look ahead."""

import math

import numpy as np
import pytest

from scratchlv.models.neural_cache import CacheSettings, NeuralCache

V, H, N = 5, 3, 2


class Reader:
    """A model whose states are drawn, and which finds all words equally likely."""

    def __init__(self, states):
        self.states = states  # (T, N, H)

    def losses(self, tokens, at):
        T = len(tokens) - 1
        return np.full((T, N), math.log(V)), self.states[at : at + T], at + T


def by_definition(states, words, settings):
    """-log p of each word (T, N)."""
    T = len(words)
    losses = np.zeros((T, N))
    for n in range(N):
        for t in range(T):
            before = range(max(0, t - settings.window), t)
            weights = {i: math.exp(settings.sharpness * states[t, n] @ states[i, n]) for i in before}
            p = 1 / V
            if weights:
                remembered = sum(w for i, w in weights.items() if words[i, n] == words[t, n]) / sum(weights.values())
                p = (1 - settings.share) * p + settings.share * remembered
            losses[t, n] = -math.log(p)
    return losses


@pytest.mark.parametrize(
    "settings", [CacheSettings(4, 0.7, 0.3), CacheSettings(100, 0.0, 0.9), CacheSettings(1, 2.0, 0.5)]
)
@pytest.mark.parametrize("pieces", [[12], [5, 7], [1] * 12])
def test_it_is_what_the_equation_says_however_the_text_is_cut(settings, pieces):
    rng = np.random.default_rng(0)
    states, tokens = rng.standard_normal((12, N, H)), rng.integers(0, V, (13, N))
    cache, at, total = NeuralCache(Reader(states), settings), 0, 0.0
    for size in pieces:
        loss, after, _ = cache.read(tokens[at : at + size + 1], at)
        total += size * loss
        at = after
    assert total / 12 == pytest.approx(by_definition(states, tokens[1:], settings).mean(), rel=1e-10)


def test_states_far_apart_are_stable():
    rng = np.random.default_rng(1)
    cache = NeuralCache(Reader(1e4 * rng.standard_normal((6, N, H))), CacheSettings(4, 1.0, 0.5))
    loss, _, _ = cache.read(rng.integers(0, V, (7, N)), 0)
    assert math.isfinite(loss)
