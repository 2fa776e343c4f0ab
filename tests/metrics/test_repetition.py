"""Repetition and novelty of made-up texts, counted by hand."""

import math

import pytest

from scratchlv.metrics import ngrams, repeated_share, seen_share


def test_ngrams_are_words_in_a_row():
    assert list(ngrams(["a", "b", "c", "d"], 3)) == [("a", "b", "c"), ("b", "c", "d")]
    assert not list(ngrams(["a"], 2))


def test_what_stood_in_the_same_text_before_is_repeated():
    assert repeated_share([["a", "b", "a", "b", "a", "b"]], 2) == pytest.approx(3 / 5)  # ab ba *ab *ba *ab
    assert repeated_share([["a", "b"], ["a", "b"]], 2) == 0  # another text
    assert math.isnan(repeated_share([["a"]], 2))


def test_what_the_training_text_has_is_seen():
    known = set(ngrams(["the", "cat", "sees", "a", "dog"], 2))
    assert seen_share([["the", "cat", "sees", "the", "dog"]], known, 2) == pytest.approx(2 / 4)
    assert math.isnan(seen_share([], known))
    with pytest.raises((TypeError, ValueError)):
        seen_share("the cat", known)
