"""The penalty that asks that every region be looked at about once in a sentence."""

import numpy as np
import pytest

from scratchlv.gradcheck import assert_gradients
from scratchlv.models import doubly_stochastic

rng = np.random.default_rng(0)
COUNTS = np.arange(4)[:, None] < np.array([4, 2, 0])  # (T, N)
MASK = np.array([[1, 1, 1, 0, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)  # (N, L)


def weights(mask=None):
    e = np.exp(rng.standard_normal((4, 3, 5)))
    e = e if mask is None else e * mask
    return e / e.sum(axis=2, keepdims=True)


def test_by_hand():
    alphas = np.array([[[0.5, 0.5]], [[0.9, 0.1]], [[0.2, 0.8]]])  # one sentence of two words, and padding
    counts = np.array([[True], [True], [False]])
    penalty, cache = doubly_stochastic.forward(alphas, counts, None, 3.0)
    assert penalty == pytest.approx(3 / 2 * (0.4**2 + 0.4**2))  # S = 1.4 and 0.6
    expected = np.array([[[0.4, -0.4]], [[0.4, -0.4]], [[0, 0]]])
    np.testing.assert_allclose(doubly_stochastic.backward(cache), 2 * 3 / 2 * expected)


@pytest.mark.parametrize("mask", [None, MASK])
def test_the_gradient(mask):
    def forward(alphas):
        return doubly_stochastic.forward(alphas, COUNTS, mask, 0.7)

    def backward(dpenalty, cache):
        return (dpenalty * doubly_stochastic.backward(cache),)

    assert_gradients(forward, backward, {"alphas": weights(mask)})


def test_padding_and_regions_that_are_not_there_count_for_nothing():
    alphas = weights(MASK)
    penalty, cache = doubly_stochastic.forward(alphas, COUNTS, MASK, 1.0)
    spoiled = np.where(COUNTS[:, :, None] & MASK, alphas, 7.0)
    same, _ = doubly_stochastic.forward(spoiled, COUNTS, MASK, 1.0)
    assert same == penalty
    assert not doubly_stochastic.backward(cache)[~(COUNTS[:, :, None] & MASK)].any()


def test_attention_that_is_doubly_stochastic_costs_nothing():
    alphas = np.stack([np.roll(np.eye(4), k, axis=1) for k in range(2)], axis=1)  # (4, 2, 4): each region once
    penalty, cache = doubly_stochastic.forward(alphas, np.ones((4, 2), bool), None, 5.0)
    assert penalty == 0
    assert not doubly_stochastic.backward(cache).any()


def test_single_precision_stays_single():
    penalty, cache = doubly_stochastic.forward(weights().astype(np.float32), COUNTS, None, 1.0)
    assert penalty.dtype == doubly_stochastic.backward(cache).dtype == np.float32
