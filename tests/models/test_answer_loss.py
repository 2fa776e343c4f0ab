"""The loss of an answer, and of where a model looked for it."""

import numpy as np
import pytest

from scratchlv.batches import StoryBatch
from scratchlv.models import answer_loss, attention_loss

LOGITS = np.log(np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]))
ALPHAS = np.array([[[0.3, 0.7]], [[0.5, 0.5]], [[0.1, 0.9]]])
TARGET = np.array([[[False, True]], [[True, False]], [[True, False]]])


def batch(target=None):
    nothing = np.zeros((0, 3), int)
    return StoryBatch(nothing, nothing, nothing, nothing, np.array([1, -1, 0]), attention_target=target)


def test_an_answer_that_cannot_be_given_counts_for_nothing():
    loss, cache = answer_loss.forward(LOGITS, None, batch(), 0.5)
    assert loss == pytest.approx(-(np.log(0.8) + np.log(0.9)) / 2)
    dlogits, dalphas = answer_loss.backward(cache)
    np.testing.assert_allclose(dlogits, [[0.1, -0.1], [0, 0], [-0.05, 0.05]], atol=1e-15)
    assert dalphas is None


def test_in_training_the_loss_of_the_attention_is_added_by_its_weight():
    alone, _ = answer_loss.forward(LOGITS, ALPHAS, batch(), 0.5)
    both, cache = answer_loss.forward(LOGITS, ALPHAS, batch(TARGET), 0.5)
    looked, looked_cache = attention_loss.forward(ALPHAS, TARGET)
    assert both == pytest.approx(alone + 0.5 * looked)
    np.testing.assert_allclose(answer_loss.backward(cache)[1], 0.5 * attention_loss.backward(looked_cache))
    for weight, train in ((0.0, True), (0.5, False)):
        assert answer_loss.forward(LOGITS, ALPHAS, batch(TARGET), weight, train=train)[0] == pytest.approx(alone)


def test_probabilities_of_large_logits():
    found = answer_loss.probabilities(np.array([[1e4, 0.0, 1e4], [-1e4, -1e4, -1e4]]))
    np.testing.assert_allclose(found, [[0.5, 0, 0.5], [1 / 3] * 3])
