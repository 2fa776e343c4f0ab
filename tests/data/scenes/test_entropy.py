"""The entropy of the captions: its formula on known distributions, and the independence it rests on."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from scratchlv.data import scenes as S
from scratchlv.data.scenes import World, caption, caption_entropy
from scratchlv.data.scenes.entropy import entropy_of_counts, without_kinds

N = 8000
WORLD = World((3, 4))


@pytest.fixture(scope="module")
def told() -> dict[str, list[S.Caption]]:
    many = [S.scene(1, S.split_index("train", i), WORLD) for i in range(N)]
    return {grammar: [caption(s, grammar) for s in many] for grammar in S.GRAMMARS}


def kinds(words) -> tuple[tuple[str, str], tuple[str, str]]:
    named = [word for word in words if word in S.COLOURS or word in S.SHAPES]
    return (named[0], named[1]), (named[2], named[3])


def chi_square_excess(pairs) -> float:
    """How many standard deviations 2 n (mutual information), in nats, lies above what independence gives.

    Under independence it is a chi-square of (rows - 1)(columns - 1) degrees of freedom d: mean d, variance 2 d.
    """
    both, rows, columns = Counter(pairs), Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    n = len(pairs)
    information = sum(c / n * math.log(c * n / (rows[a] * columns[b])) for (a, b), c in both.items())
    d = (len(rows) - 1) * (len(columns) - 1)
    return (2 * n * information - d) / math.sqrt(2 * d)


@pytest.mark.parametrize("grammar", S.GRAMMARS)
def test_kinds_are_uniform(told, grammar):
    for which in (0, 1):
        counts = Counter(kinds(c.words)[which] for c in told[grammar])
        assert set(counts) == set(itertools.product(S.COLOURS, S.SHAPES)) - S.HELD_OUT
        chi_square = sum((c - N / 25) ** 2 / (N / 25) for c in counts.values())
        assert chi_square < 24 + 5 * math.sqrt(2 * 24)


@pytest.mark.parametrize("grammar", S.GRAMMARS)
def test_kinds_are_independent_of_each_other_and_of_all_else(told, grammar):
    words = [c.words for c in told[grammar]]
    assert chi_square_excess([kinds(w) for w in words]) < 5
    for which in (0, 1):
        assert chi_square_excess([(kinds(w)[which], w[1]) for w in words]) < 5  # and size
        place = [S.parse(w).phrases[0].place for w in words]
        assert chi_square_excess([(kinds(w)[which], p) for w, p in zip(words, place, strict=True)]) < 5
        assert chi_square_excess([(kinds(w)[which], without_kinds(w)[-4:]) for w in words]) < 5


def test_the_independence_test_can_fail(told):
    """Size and the radius's neighbours do hang together: place of the first and of the second, in order of x."""
    pairs = [tuple(p.place for p in S.parse(c.words).phrases) for c in told["places"]]
    assert chi_square_excess(pairs) > 50


@pytest.mark.parametrize("grammar", S.GRAMMARS)
def test_a_caption_is_its_kinds_and_its_other_words(told, grammar):
    words = [c.words for c in told[grammar]]
    assert len({(kinds(w), without_kinds(w)) for w in words}) == len(set(words))


@pytest.mark.parametrize("grammar", S.GRAMMARS)
def test_what_the_true_distribution_pays_on_other_captions(told, grammar):
    """The best model there is (pairs uniform, other words as counted) needs the entropy on captions it has not seen."""
    entropy = caption_entropy(WORLD, grammar, n=N, seed=0)
    counts = Counter(
        without_kinds(caption(S.scene(0, S.split_index("train", i), WORLD), grammar).words) for i in range(N)
    )
    cells = set(counts) | {without_kinds(c.words) for c in told[grammar]}
    total = N + 0.5 * len(cells)
    costs = [2 * math.log(25) - math.log((counts[without_kinds(c.words)] + 0.5) / total) for c in told[grammar]]
    assert np.mean(costs) == pytest.approx(
        entropy.nats_per_caption, abs=5 * math.sqrt(2) * entropy.standard_error + len(cells) / N
    )


def test_per_word():
    entropy = caption_entropy(WORLD, n=500)
    words = [caption(S.scene(0, i, WORLD)).words for i in range(500)]
    assert entropy.words_per_caption == pytest.approx(np.mean([len(w) + 1 for w in words]))  # and the end
    assert entropy.nats_per_word * entropy.words_per_caption == pytest.approx(entropy.nats_per_caption)


def test_more_scenes_agree():
    few, many = caption_entropy(WORLD, n=1000), caption_entropy(WORLD, n=16000, seed=5)
    assert few.nats_per_caption == pytest.approx(many.nats_per_caption, abs=5 * few.standard_error)
    assert many.standard_error == pytest.approx(few.standard_error / 4, rel=0.1)


def test_entropy_of_known_distributions():
    """Twelve cells of known shares, counted 100 draws at a time: the corrected entropy is right on average."""
    p = np.arange(1, 13) / 78
    true = -(p * np.log(p)).sum()
    draws = np.random.default_rng(0).multinomial(100, p, size=4000)
    found = np.array([entropy_of_counts([c for c in counts if c]) for counts in draws])
    plain = np.array([-(q[q > 0] * np.log(q[q > 0])).sum() for q in draws / 100])
    assert abs(found[:, 0].mean() - true) < 0.01 < abs(plain.mean() - true)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)  # the standard error is what it says
    assert entropy_of_counts([7]) == (0, 0)
    assert entropy_of_counts([10**9] * 8)[0] == pytest.approx(math.log(8))


def test_what_cannot_be():
    with pytest.raises(ValueError, match="no grammar 'definite'"):
        caption_entropy(WORLD, "definite", n=5)
    with pytest.raises(ValueError, match="needs scenes"):
        caption_entropy(WORLD, n=0)
