"""Several models that say one thing together."""

import numpy as np
import pytest

from scratchlv.batches import CaptionBatch
from scratchlv.decode import beam_search, greedy
from scratchlv.models.captioner import Captioner, CaptionerConfig
from scratchlv.models.ensemble import Ensemble, _log_mean_exp
from scratchlv.tokens import END, START


def captioner(seed, model="attention", channels=5, vocabulary=9):
    config = CaptionerConfig(
        vocabulary=vocabulary, embedding=6, hidden=7, attention=4, feature_channels=channels, model=model
    )
    made = Captioner(config, seed)
    for name in ("output.Wo", "embedding.W"):
        made.params[name] *= 6  # so that they differ in what they say
    return made


@pytest.fixture
def features():
    return np.random.default_rng(0).standard_normal((4, 3, 3, 5)).astype(np.float32)


def batch(pictures):
    tokens = np.array([[START] * 4, [4, 5, 6, 7], [5, END, 8, 4], [END, 0, 4, END], [0, 0, END, 0]])
    return CaptionBatch(pictures, tokens, np.array([3, 2, 4, 3]))


def test_a_word_is_as_likely_as_in_the_mean(features):
    models = [captioner(seed) for seed in range(3)]
    together = Ensemble(models)
    state, own = together.start(features), [model.start(features) for model in models]
    for tokens in ([START] * 4, [4, 5, 6, 7], [8, 8, 4, 5]):
        log_probs, state = together.step(state, np.array(tokens))
        each, own = zip(*(model.step(s, np.array(tokens)) for model, s in zip(models, own, strict=True)), strict=True)
        np.testing.assert_allclose(np.exp(log_probs), np.mean(np.exp(each), axis=0), rtol=2e-5)
        np.testing.assert_allclose(state.alpha, np.mean([s.alpha for s in own], axis=0), rtol=1e-5)


def test_one_alone_says_what_it_says(features):
    model = captioner(1)
    for alone, ours in zip(
        beam_search(model, features, beam=3), beam_search(Ensemble([model]), features, beam=3), strict=True
    ):
        assert alone.tokens.tolist() == ours.tokens.tolist()
        np.testing.assert_allclose(alone.alphas, ours.alphas, rtol=1e-6)
    assert Ensemble([model]).forward(batch(features))[0] == pytest.approx(
        model.forward(batch(features), train=False)[0], 1e-5
    )


def test_its_loss_is_that_of_the_mean_and_lower_than_their_mean_loss(features):
    """Jensen: the logarithm of a mean is above the mean of logarithms."""
    models = [captioner(seed) for seed in range(3)]
    loss, _ = Ensemble(models).forward(batch(features))
    assert loss < np.mean([model.forward(batch(features), train=False)[0] for model in models]) - 0.01
    with pytest.raises(ValueError, match="one by one"):
        Ensemble(models).forward(batch(features), train=True)


def test_each_may_see_by_features_of_its_own(features):
    """Then they look at different grids, and there is no attention to speak of."""
    wide = np.random.default_rng(1).standard_normal((4, 2, 2, 8)).astype(np.float32)
    together = Ensemble([captioner(0), captioner(0, channels=8)])
    assert [g.alphas for g in greedy(together, (features, wide), max_length=5)] == [None] * 4
    state = Ensemble([captioner(0), captioner(0, "naive")]).start(features)
    assert state.alpha is None


def test_what_is_impossible_to_all_stays_so_and_small_numbers_are_no_zeros():
    a, b = np.array([[-np.inf, -2000.0, 0.0]]), np.array([[-np.inf, -2001.0, -np.inf]])
    expected = [-np.inf, -2000 + np.log((1 + np.exp(-1)) / 2), np.log(0.5)]
    np.testing.assert_allclose(_log_mean_exp([a, b])[0], expected, rtol=1e-12)
    assert np.isnan(_log_mean_exp([np.array([[np.nan, 0.0]]), np.array([[0.0, 0.0]])])[0, 0])


def test_models_of_other_words_are_refused():
    with pytest.raises(ValueError, match=r"one vocabulary, not of \[9, 10\] words"):
        Ensemble([captioner(0), captioner(1, vocabulary=10)])
