"""Figures of looking, where the answer is known."""

import numpy as np
import pytest

from scratchlv.metrics.grounding import attention_entropy, estimate, image_dependence, larger_share


def test_a_word_that_every_picture_makes_as_likely_owes_nothing_to_its_own():
    own = np.log(np.random.default_rng(0).uniform(size=(4, 3)))
    np.testing.assert_allclose(image_dependence(own, np.stack([own] * 5)), 0, atol=1e-12)


def test_it_is_the_logarithm_of_how_many_times_likelier_the_word_is():
    own = np.log([[0.8]])
    others = np.log([[[0.1]], [[0.3]]])  # 0.2 on average
    np.testing.assert_allclose(image_dependence(own, others), np.log(0.8 / 0.2))
    np.testing.assert_allclose(
        image_dependence(own - 2000, others - 2000), np.log(0.8 / 0.2)
    )  # far below what exp can tell
    assert image_dependence(own, np.full((2, 1, 1), -np.inf)) == np.inf  # impossible with all others


def test_entropy_at_both_ends():
    np.testing.assert_allclose(attention_entropy(np.full((2, 3, 49), 1 / 49)), np.log(49))
    np.testing.assert_array_equal(attention_entropy(np.eye(5)), 0)
    np.testing.assert_allclose(attention_entropy([0.5, 0.25, 0.25, 0]), 1.5 * np.log(2))


def test_equals_are_shared():
    np.testing.assert_array_equal(larger_share([1, 2, 3], [0, 2, 5]), [1, 0.5, 0])


def test_every_word_counts_alike_and_captions_are_drawn_whole():
    found = estimate([np.array([1.0, 1.0, 1.0]), np.array([5.0])])
    assert found.mean == 2  # (3 · 1 + 5) / 4
    assert (found.low, found.high) == (1, 5)  # of two captions, one may be drawn twice
    assert np.isnan(estimate([])).all() and np.isnan(estimate([np.array([])])).all()
    assert estimate([np.array([3.0])] * 9) == (3, 3, 3)


def test_the_interval_is_that_of_the_normal_distribution_where_there_are_many():
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(1) for _ in range(2000)]
    found = estimate(values)
    width = 1.96 * np.std(values) / np.sqrt(2000)
    assert found.high - found.mean == pytest.approx(width, rel=0.1)
    assert found.mean - found.low == pytest.approx(width, rel=0.1)
    # the same numbers as words of captions that repeat themselves are worth fewer
    repeated = [np.repeat(each, 4) for each in values[:500]]
    assert estimate(repeated).high - estimate(repeated).low > 1.7 * (found.high - found.low)
