"""Pairs of words: which are known, and what is added for them; their gradient is checked with that of the whole model."""

import numpy as np
import pytest

from scratchlv.models import word_pairs

V = 10
QUESTIONS = [[4, 5, 6], [4, 5], [5, 4, 5]]


def test_pairs_that_occur_often_enough_are_known():
    pair = lambda a, b: a * V + b  # noqa: E731
    assert word_pairs.frequent(QUESTIONS, V, 3) == (pair(4, 5),)
    assert word_pairs.frequent(QUESTIONS, V, 2) == (pair(0, 4), pair(4, 5), pair(5, 0))
    assert len(word_pairs.frequent(QUESTIONS, V, 1)) == 7
    assert word_pairs.frequent([], V, 1) == ()


@pytest.mark.parametrize("least", [1, 2])
def test_what_is_added_is_the_sum_of_the_pairs_that_are_known(least):
    """The first and the last word are in a pair with nothing; padding is in none."""
    pairs = word_pairs.frequent(QUESTIONS, V, least)
    params = {"pairs.P": np.random.default_rng(0).standard_normal((len(pairs), 3))}
    asked = [[4, 5, 6], [9], [5, 4, 5, 5]]
    tokens = np.zeros((4, 3), np.int64)
    for n, words in enumerate(asked):
        tokens[: len(words), n] = words
    found, cache = word_pairs.forward(params, tokens, pairs, V)
    dP = np.zeros_like(params["pairs.P"])
    for n, words in enumerate(asked):
        expected = np.zeros(3)
        for a, b in zip([0, *words], [*words, 0], strict=True):
            if a * V + b in pairs:
                expected += params["pairs.P"][pairs.index(a * V + b)]
                dP[pairs.index(a * V + b)] += n + 1
        np.testing.assert_allclose(found[n], expected, atol=1e-6)
    assert not found[1].any()
    du = np.arange(1.0, 4)[:, None] * np.ones(3)
    np.testing.assert_allclose(word_pairs.backward(du, cache)["pairs.P"], dP, atol=1e-6)
    assert dP.any()
