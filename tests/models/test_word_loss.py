"""The loss of words, and of words that have weights."""

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import assert_gradients
from scratchlv.models import word_loss

LENGTHS = np.array([3, 1])
COUNTS = np.arange(3)[:, None] < LENGTHS  # (T, N)


def inputs(dtype=np.float64):
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 2, 5)).astype(dtype), rng.integers(0, 5, (3, 2))


def log_p(logits, targets):
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return np.log(np.take_along_axis(p, targets[:, :, None], axis=2))[:, :, 0]


@pytest.mark.parametrize("weights", [np.array([-0.5, 2.0]), np.array([[1.0, 3], [-2, 9], [0.25, 9]])])
def test_each_loss_is_multiplied_by_its_weight_and_padding_by_nothing(weights):
    logits, targets = inputs()
    loss, _ = word_loss.forward(logits, targets, COUNTS, word_weights=weights)
    assert loss == pytest.approx(-(weights * log_p(logits, targets))[COUNTS].sum() / 4)


@pytest.mark.parametrize("weights", [np.array([-0.5, 2.0]), np.array([[1.0, 3], [-2, 9], [0.25, 9]])])
def test_the_gradient_of_weighted_words(weights):
    logits, targets = inputs()

    def forward(logits):
        return word_loss.forward(logits, targets, COUNTS, word_weights=weights)

    def backward(dloss, cache):
        return (dloss * word_loss.backward(cache),)

    with scratchlv.use("reference"):
        assert_gradients(forward, backward, {"logits": logits})


def test_weights_of_1_are_none():
    logits, targets = inputs(np.float32)
    plain, cache = word_loss.forward(logits.copy(), targets, COUNTS)
    dlogits = word_loss.backward(cache)
    for ones in (np.ones(2), np.ones((3, 2))):
        loss, cache = word_loss.forward(logits.copy(), targets, COUNTS, word_weights=ones)
        assert loss.dtype == np.float32
        assert loss == pytest.approx(plain, rel=1e-6)
        np.testing.assert_allclose(word_loss.backward(cache), dlogits, atol=1e-7)


def test_labels_of_weighted_words_are_not_smoothed():
    """A reward is for what was said."""
    logits, targets = inputs()
    found = [
        word_loss.forward(logits.copy(), targets, COUNTS, word_weights=np.ones(2), label_smoothing=p)[0]
        for p in (0, 0.5)
    ]
    assert found[0] == found[1]


def test_nothing_that_counts_costs_nothing():
    logits, targets = inputs()
    loss, cache = word_loss.forward(logits, targets, COUNTS & False, word_weights=np.ones(2))
    assert loss == 0
    assert not word_loss.backward(cache).any()


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2), (3, 2, 1)])
def test_weights_of_another_shape_are_refused(shape):
    logits, targets = inputs()
    with pytest.raises(ValueError, match=r"word_weights has the shape .*; it is \(T, N\) = \(3, 2\), or \(N,\)"):
        word_loss.forward(logits, targets, COUNTS, word_weights=np.ones(shape))
