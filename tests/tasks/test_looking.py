"""How words hang on a picture, of stand-ins whose answers are known."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from scratchlv.decode import read
from scratchlv.tasks.looking import Sentences, by_step, neutral_feature, occlude, read_with_hidden, read_with_others
from scratchlv.tokens import END, START

V = 9
FIRST = 4  # the first token that is a word


class State(NamedTuple):
    x: np.ndarray  # (N, L, D)
    t: np.ndarray  # (N,)
    alpha: np.ndarray | None = None  # (N, L)


class Sees:
    """Scores word FIRST + l by the first feature of region l, times ``strength``; looks at region (t + row's first) mod L."""

    config = SimpleNamespace(features=2)

    def __init__(self, strength=1.0):
        self.strength = strength

    def start_from(self, x):
        return State(x, np.zeros(len(x), int), np.zeros(x.shape[:2]))

    def step(self, state, tokens):
        scores = np.zeros((len(tokens), V))
        scores[np.arange(len(tokens)), tokens] = -0.5  # the word before matters, whatever is seen
        L = state.x.shape[1]
        scores[:, FIRST : FIRST + L] += self.strength * state.x[:, :, 0]
        alpha = np.zeros(state.x.shape[:2])
        alpha[np.arange(len(tokens)), state.t % L] = 0.7
        alpha[np.arange(len(tokens)), (state.t + 1) % L] = 0.3
        log_probs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return log_probs, state._replace(t=state.t + 1, alpha=alpha)


rng = np.random.default_rng(0)
X = rng.standard_normal((3, 5, 4))  # three pictures of five regions, two features and two coordinates
SAID = Sentences.of([[4, 5, 6, END], [8, END], [7, 7, 4]])


def test_sentences_begin_with_start_and_are_as_long_as_they_are():
    assert (SAID.tokens[0] == START).all()
    assert SAID.lengths.tolist() == [4, 2, 3]
    assert [each.tolist() for each in SAID.words(SAID.tokens[1:])] == [[4, 5, 6, END], [8, END], [7, 7, 4]]


def test_words_are_read_as_the_model_would_say_them():
    model, state = Sees(), Sees().start_from(X)
    reading = read(model, state, SAID.tokens)
    for t, (before, word) in enumerate(zip(SAID.tokens[:-1], SAID.tokens[1:], strict=True)):
        log_probs, state = model.step(state, before)
        p = np.exp(log_probs)
        onehot = np.eye(V)[word]
        np.testing.assert_allclose(reading.log_probs[t], log_probs[np.arange(3), word])
        np.testing.assert_allclose(reading.logit_gradients[t], np.linalg.norm(onehot - p, axis=1))
        np.testing.assert_array_equal(reading.alphas[t], state.alpha)
    rows = np.array([2, 0, 0])
    swapped = read(model, model.start_from(X), SAID.tokens, rows)
    np.testing.assert_array_equal(swapped.log_probs, read(model, model.start_from(X[rows]), SAID.tokens).log_probs)


def test_the_gradient_of_a_word_that_is_certain_is_nothing():
    reading = read(Sees(100), Sees().start_from(np.ones((1, 1, 3))), np.array([[START], [FIRST]]))
    assert -1e-40 < reading.log_probs[0, 0] <= 0 <= reading.logit_gradients[0, 0] < 1e-40


def test_a_model_that_ignores_the_picture_depends_on_it_by_nothing_at_all():
    _, dependence = read_with_others(Sees(0), X, SAID, 2)
    np.testing.assert_allclose(dependence, 0, atol=1e-15)


def test_a_word_that_only_this_picture_makes_likely():
    x = np.zeros((3, 5, 4))
    x[0, 0, 0] = np.log(
        6
    )  # of this picture word 4 weighs 6 · e^-½ after itself, 6 after others; the other eight words weigh 1
    own, dependence = read_with_others(Sees(), x, Sentences.of([[4], [4], [5]]), 2)
    start = np.exp(-0.5)  # of <start>, the word before
    with_it, without = 6 / (6 + 7 + start), 1 / (8 + start)
    np.testing.assert_allclose(own.log_probs[0], np.log([with_it, without, without]))
    expected = [np.log(with_it / without), np.log(without / ((with_it + without) / 2)), None]
    np.testing.assert_allclose(dependence[0, :2], expected[:2])


def test_each_word_is_read_with_its_own_region_hidden():
    hidden = rng.integers(0, 5, SAID.tokens[1:].shape)
    neutral = np.array([0.3, -0.2])
    found = read_with_hidden(Sees(), X, SAID, hidden, neutral)
    for n, length in enumerate(SAID.lengths):
        assert np.isnan(found[length:, n]).all()
        for t in range(length):
            x = X[n : n + 1].copy()
            x[0, hidden[t, n], :2] = neutral
            expected = read(Sees(), Sees().start_from(x), SAID.tokens[:, n : n + 1]).log_probs[t, 0]
            np.testing.assert_allclose(found[t, n], expected)


def test_hiding_what_is_looked_at_costs_the_word_and_hiding_another_region_gives():
    """Word 4 + l lives in region l alone, and a model that looks there as it says it needs that region."""
    x = np.zeros((2, 5, 4))
    x[..., 0] = 3
    said = Sentences.of([[4, 5, 6], [4, 5]])  # word t is region t's, and looked at
    own = read(Sees(), Sees().start_from(x), said.tokens)
    neutral = neutral_feature(np.zeros_like(x), 2)
    costs = occlude(Sees(), x, said, own, 0)
    np.testing.assert_allclose(neutral_feature(x, 2), [3, 0])
    for each in costs:  # hidden by the mean of all, which every region is already
        np.testing.assert_allclose(np.concatenate(said.words(each)), 0, atol=1e-12)
    x[0, 0, 0] = 9  # now one region differs from the mean
    own = read(Sees(), Sees().start_from(x), said.tokens)
    costs = occlude(Sees(), x, said, own, 0)
    assert costs.most[0, 0] > 1  # its word, looked at
    assert abs(costs.least[0, 0]) < 0.1
    assert neutral.tolist() == [0, 0]


def test_the_random_region_is_any_but_the_most_attended(monkeypatch):
    from scratchlv.tasks import looking

    asked = []
    monkeypatch.setattr(looking, "read_with_hidden", lambda m, x, s, hidden, neutral: asked.append(hidden) or 0)
    words = Sentences.of([[4] * 40] * 30)
    x = np.zeros((30, 5, 4))
    own = read(Sees(), Sees().start_from(x), words.tokens)
    occlude(Sees(), x, words, own, 0)
    most, least, random = asked
    assert (most == (np.arange(40) % 5)[:, None]).all()
    assert not (random == most).any() and not (least == most).any()
    shares = np.bincount(((random - most) % 5).ravel(), minlength=5) / random.size
    np.testing.assert_allclose(shares[1:], 0.25, atol=0.04)


def test_means_by_step_are_of_enough_captions():
    values = np.array([[1.0, 3.0, np.nan], [5.0, np.nan, np.nan], [np.nan] * 3])
    assert by_step(values, 1) == [(1, 2.0), (2, 5.0)]
    assert by_step(values, 2) == [(1, 2.0)]


@pytest.mark.parametrize("empty", [np.full((2, 3), np.nan), np.zeros((0, 3))])
def test_there_may_be_nothing_to_average(empty):
    assert by_step(empty, 1) == []
