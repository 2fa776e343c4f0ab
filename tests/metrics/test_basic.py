"""The figures of one line."""

import math

import pytest

from scratchlv.metrics import exact_match, perplexity


def test_perplexity():
    assert perplexity(0) == 1
    assert perplexity(math.log(20)) == pytest.approx(20)
    assert perplexity(1e4) == math.inf
    assert math.isnan(perplexity(math.nan))


def test_exact_match():
    references = [["a", "b"], ["c"], [], ["d"]]
    assert exact_match([["a", "b"], ["c", "c"], [], ["e"]], references) == 0.5
    assert exact_match([("a", "b")], [["a", "b"]]) == 1.0
    assert exact_match([["b", "a"]], [["a", "b"]]) == 0.0


@pytest.mark.parametrize(("hypotheses", "references"), [([], []), ([["a"]], []), ([["a"]], [["a"]] * 2)])
def test_wrong_arguments(hypotheses, references):
    with pytest.raises(ValueError):
        exact_match(hypotheses, references)
