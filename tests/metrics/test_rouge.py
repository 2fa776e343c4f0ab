"""ROUGE by hand, and beside rouge-score."""

import random

import pytest

from scratchlv.metrics import rouge_l, rouge_n

words = str.split


def test_the_example_of_the_paper():
    """Lin 2004, section 3.1: the same words in another order share a shorter sequence."""
    reference = words("police killed the gunman")
    assert rouge_l([words("police kill the gunman")], [reference]) == pytest.approx((3 / 4,) * 3)
    assert rouge_l([words("the gunman kill police")], [reference]) == pytest.approx((2 / 4,) * 3)


def test_by_hand():
    # a c e of a b c d e; the hypothesis has four words
    score = rouge_l([words("a x c e")], [words("a b c d e")])
    assert score.precision == pytest.approx(3 / 4)
    assert score.recall == pytest.approx(3 / 5)
    assert score.f1 == pytest.approx(2 * 3 / (4 + 5))


def test_n_grams_by_hand():
    """the cat sat / the cat: of "the the cat on the mat" two of three "the" are shared with the other's two."""
    hypothesis, reference = words("the the cat on the mat"), words("the cat the dog on")
    assert rouge_n([hypothesis], [reference], 1) == pytest.approx((4 / 6, 4 / 5, 8 / 11))
    assert rouge_n([hypothesis], [reference], 2) == pytest.approx((1 / 5, 1 / 4, 2 / 9))
    assert rouge_n([["a"]], [["a"]], 2) == (0, 0, 0)
    assert rouge_n([["a", "b"], ["c", "d"]], [["a", "b"], ["x", "d"]], 2) == pytest.approx((1 / 2, 1 / 2, 1 / 2))


def test_order_counts():
    assert rouge_l([["c", "b", "a"]], [["a", "b", "c"]]).f1 == pytest.approx(1 / 3)
    assert rouge_l([["a", "a", "a"]], [["a", "b", "a"]]).f1 == pytest.approx(2 / 3)


def test_the_mean_over_sentences():
    hypotheses, references = [["a"], ["x"], [], ["a", "b"]], [["a"], ["a"], ["a"], ["a"]]
    score = rouge_l(hypotheses, references)
    assert score == pytest.approx(((1 + 0.5) / 4, 2 / 4, (1 + 2 / 3) / 4))
    assert rouge_l([["a"]], [[]]) == (0, 0, 0)


@pytest.mark.parametrize(("hypotheses", "references"), [([], []), ([["a"]], []), ([["a"]], [["a"]] * 2)])
def test_wrong_arguments(hypotheses, references):
    with pytest.raises(ValueError):
        rouge_l(hypotheses, references)
    with pytest.raises(ValueError):
        rouge_n(hypotheses, references, 2)


def test_equal_to_rouge_score():
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="the test extra installs rouge-score")
    theirs = scorer.RougeScorer(["rougeL", "rouge1", "rouge2"], use_stemmer=False)
    rng = random.Random(3)
    hypotheses, references = (
        [[f"w{rng.randrange(8)}" for _ in range(rng.randrange(30))] for _ in range(300)] for _ in "hr"
    )
    pairs = list(zip(hypotheses, references, strict=True))
    scores = [theirs.score(" ".join(r), " ".join(h)) for h, r in pairs]
    for name, ours in (
        ("rougeL", rouge_l),
        ("rouge1", lambda h, r: rouge_n(h, r, 1)),
        ("rouge2", lambda h, r: rouge_n(h, r, 2)),
    ):
        of_each = [score[name] for score in scores]
        for (h, r), score in zip(pairs, of_each, strict=True):
            assert ours([h], [r]) == pytest.approx((score.precision, score.recall, score.fmeasure))
        assert ours(hypotheses, references).f1 == pytest.approx(sum(score.fmeasure for score in of_each) / 300)
