"""The loss that teaches where to look."""

import numpy as np
import pytest

from scratchlv.models import attention_loss


def test_by_hand():
    alphas = np.array([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]])
    where = np.array([[[True, True, False], [False, False, True]]])
    loss, cache = attention_loss.forward(alphas, where)
    assert loss == pytest.approx(-(np.log(0.75) + np.log(0.7)) / 2)
    expected = [[[-1 / 1.5, -1 / 1.5, 0], [0, 0, -1 / 1.4]]]
    np.testing.assert_allclose(attention_loss.backward(cache), expected)


def test_how_the_weight_is_shared_among_the_regions_is_left_open():
    where = np.array([[[True, True, False]]])
    one, _ = attention_loss.forward(np.array([[[0.6, 0.0, 0.4]]]), where)
    other, _ = attention_loss.forward(np.array([[[0.3, 0.3, 0.4]]]), where)
    assert one == pytest.approx(other)


def test_a_hop_of_which_nothing_is_known_is_not_taught():
    alphas = np.array([[[0.5, 0.5], [0.9, 0.1]]])
    loss, cache = attention_loss.forward(alphas, np.array([[[False, False], [True, False]]]))
    assert loss == pytest.approx(-np.log(0.9))
    assert not attention_loss.backward(cache)[0, 0].any()
    assert attention_loss.forward(alphas, np.zeros((1, 2, 2), bool))[0] == 0


def test_no_weight_at_all_costs_much_and_stays_finite():
    loss, cache = attention_loss.forward(np.array([[[0.0, 1.0]]], np.float32), np.array([[[True, False]]]))
    assert 50 < loss < np.inf
    assert np.isfinite(attention_loss.backward(cache)).all()
