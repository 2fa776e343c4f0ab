"""BLEU by hand, and beside sacrebleu."""

import math
import random

import pytest

from scratchlv.metrics import bleu

words = str.split


def test_a_perfect_copy():
    sentence = words("the cat sat on the mat")
    assert bleu([sentence], [[sentence]]) == (pytest.approx(100), (100.0,) * 4, 1.0, 6, 6)


def test_clipping():
    """The example of Papineni et al.: of seven times "the", a reference that has two of them allows two."""
    score = bleu([["the"] * 7], [[words("the cat is on the mat"), words("there is a cat on the mat")]], max_n=1)
    assert score.precisions == (pytest.approx(100 * 2 / 7),)
    assert score.reference_length == 7  # the closer one


def test_by_hand():
    # matches: a b c d of a b c d x: 4/5, 3/4, 2/3, 1/2; the reference is 7 long
    score = bleu([words("a b c d x")], [[words("a b c d e f g")]])
    assert score.precisions == pytest.approx((80, 75, 100 * 2 / 3, 50))
    assert score.brevity_penalty == pytest.approx(math.exp(1 - 7 / 5))
    assert score.score == pytest.approx(100 * math.exp(-2 / 5) * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))


def test_counts_are_of_the_corpus():
    """No mean over sentences: 1 of 1 and 0 of 3 words are 1 of 4."""
    score = bleu([["a"], ["x", "y", "z"]], [[["a"]], [["b", "c", "d"]]], max_n=1)
    assert score.precisions == (25.0,)


def test_each_ngram_counts_where_it_is_most_frequent_not_their_sum():
    score = bleu([["a", "a", "a"]], [[["a", "a", "x"], ["a", "y", "z"]]], max_n=1)
    assert score.precisions == (pytest.approx(100 * 2 / 3),)


def test_of_two_equally_close_lengths_the_shorter_counts():
    assert bleu([["a"] * 4], [[["a"] * 5, ["a"] * 3]]).reference_length == 3
    assert bleu([["a"] * 4], [[["a"] * 3, ["a"] * 5]]).reference_length == 3


def test_smoothing_halves_again_and_again():
    # c b a against a b c: 3/3, then nothing of 2 and of 1
    hypotheses, references = [["c", "b", "a", "d"]], [[["a", "b", "c", "d"]]]
    score = bleu(hypotheses, references)
    assert score.precisions == pytest.approx((100, 100 / 2 / 3, 100 / 4 / 2, 100 / 8 / 1))
    assert score.score == pytest.approx(100 * (1 / 6 / 8 / 8) ** (1 / 4))
    unsmoothed = bleu(hypotheses, references, smooth="none")
    assert unsmoothed.precisions == (100, 0, 0, 0) and unsmoothed.score == 0


def test_nothing_right_and_nothing_written():
    assert bleu([["x", "y"]], [[["a", "b"]]]) == (0, (0, 0, 0, 0), 1, 2, 2)
    assert bleu([[]], [[["a", "b"]]]) == (0, (0, 0, 0, 0), 0, 0, 2)


def test_shorter_than_the_longest_ngram():
    score = bleu([["a", "b"]], [[["a", "b"]]])
    assert score.precisions == (100, 100, 0, 0) and score.score == 0
    assert bleu([["a", "b"]], [[["a", "b"]]], max_n=2).score == pytest.approx(100)


@pytest.mark.parametrize(
    ("hypotheses", "references", "smooth"),
    [
        ([], [], "exp"),
        ([["a"]], [[]], "exp"),
        ([["a"]], [], "exp"),
        ([["a"]], [[["a"]]] * 2, "exp"),
        ([["a"]], [[["a"]]], "x"),
    ],
)
def test_wrong_arguments(hypotheses, references, smooth):
    with pytest.raises(ValueError):
        bleu(hypotheses, references, smooth=smooth)


@pytest.mark.parametrize("max_n", [0, -1])
def test_n_grams_of_nothing(max_n):
    with pytest.raises(ValueError, match=f"max_n={max_n}: give 1 or more"):
        bleu([["a"]], [[["a"]]], max_n=max_n)


def test_references_one_level_too_flat():
    with pytest.raises(TypeError, match="list of references for each hypothesis"):
        bleu([["a", "b"]], [["a", "b"]])


def corpus(rng: random.Random) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Hypotheses that share much, little or nothing with their one to four references; some are empty or short."""
    longest, likeness, n_references = rng.choice([3, 6, 25]), rng.choice([0, 0.5, 0.9]), rng.randint(1, 4)
    lexicon = [f"w{i}" for i in range(rng.choice([2, 5, 50]))]
    hypotheses, references = [], []
    for _ in range(rng.randint(1, 8)):
        first = [rng.choice(lexicon) for _ in range(rng.randint(1, longest))]
        several = [first[rng.randrange(2) :] + [rng.choice(lexicon)] * rng.randrange(4) for _ in range(n_references)]
        hypothesis = [w if rng.random() < likeness else rng.choice([*lexicon, "new"]) for w in first]
        hypotheses.append(hypothesis[: rng.choice([0, 1, 3, None, None, None])])
        references.append(several)
    return hypotheses, references


@pytest.mark.parametrize("smooth", ["exp", "none"])
@pytest.mark.parametrize("max_n", [1, 2, 4])
def test_equal_to_sacrebleu(smooth, max_n):
    sacrebleu = pytest.importorskip("sacrebleu", reason="the test extra installs sacrebleu")
    metric = sacrebleu.BLEU(tokenize="none", force=True, smooth_method=smooth, max_ngram_order=max_n)
    rng = random.Random(7)
    scores = []
    for _ in range(300):
        hypotheses, references = corpus(rng)
        streams = [[" ".join(reference) for reference in stream] for stream in zip(*references, strict=True)]
        theirs = metric.corpus_score([" ".join(hypothesis) for hypothesis in hypotheses], streams)
        ours = bleu(hypotheses, references, max_n, smooth)
        assert ours.score == pytest.approx(theirs.score, abs=1e-9)
        assert ours.precisions == pytest.approx(theirs.precisions, abs=1e-9)
        assert ours.brevity_penalty == pytest.approx(theirs.bp)
        assert (ours.hypothesis_length, ours.reference_length) == (theirs.sys_len, theirs.ref_len)
        scores.append(ours.score)
    assert 30 < sum(score > 0 for score in scores) < 300  # corpora of both kinds were met


def test_equal_to_sacrebleus_corpus_bleu():
    sacrebleu = pytest.importorskip("sacrebleu", reason="the test extra installs sacrebleu")
    hypothesis, reference = "two dogs run on the green grass", "two brown dogs run on grass"
    theirs = sacrebleu.corpus_bleu([hypothesis], [[reference]], tokenize="none", force=True)
    assert bleu([hypothesis.split()], [[reference.split()]]).score == pytest.approx(theirs.score)


@pytest.mark.parametrize(("max_n", "published"), [(1, 0.55), (2, 0.428174), (3, 0.284043), (4, 0.201143)])
def test_the_example_of_nlg_eval(max_n, published, public_set):
    folder = public_set("metrics/nlg_eval")
    hypotheses, *streams = (
        [line.split() for line in (folder / name).read_text("utf-8").splitlines()]
        for name in ("hyp.txt", "ref1.txt", "ref2.txt")
    )
    score = bleu(hypotheses, list(zip(*streams, strict=True)), max_n, smooth="none").score
    assert score / 100 == pytest.approx(published, abs=1e-6)
