"""The figures of one line."""

import math

import pytest

from scratchlv.metrics import bleu, exact_match, perplexity, rouge_l


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


@pytest.mark.parametrize("measure", [exact_match, rouge_l, lambda h, r: bleu(h, [[x] for x in r])])
@pytest.mark.parametrize(
    ("hypotheses", "references"), [(["a b"], [["a", "b"]]), ([["a", "b"]], ["a b"]), ("ab", [["a"], ["b"]])]
)
def test_texts_that_were_not_cut_are_refused(measure, hypotheses, references):
    """Their characters would be counted."""
    with pytest.raises(TypeError, match=r"(hypotheses|references).* holds the string 'a.*list of tokens"):
        measure(hypotheses, references)
