"""Gradient reach: against numerical slopes in float64, and where its answer is known."""

import numpy as np
import pytest

from scratchlv.decode import read
from scratchlv.models.captioner import CONTEXT, Captioner, CaptionerConfig
from scratchlv.models.gradient_reach import gradient_reach
from scratchlv.tokens import END, START

V, T, N = 11, 5, 3
each_model = pytest.mark.parametrize("name", CONTEXT)


def made(name, channels=5, dtype=np.float64, seed=0, **more):
    """A captioner of pretrained features, its statistics like those of a trained one."""
    config = CaptionerConfig(
        vocabulary=V, embedding=6, hidden=7, attention=4, feature_channels=channels, dropout=0.5, model=name, **more
    )
    model, rng = Captioner(config, seed), np.random.default_rng(seed)
    model.params = {name: rng.normal(0, 0.5, each.shape).astype(dtype) for name, each in model.params.items()}
    for name in model.buffers:
        model.buffers[name] = rng.uniform(0.2, 0.7, model.buffers[name].shape).astype(dtype)
    return model


def sentences(rng):
    lengths = np.array([T, 2, T - 1])
    tokens = rng.integers(4, V, (T + 1, N))
    tokens[0] = START
    tokens[lengths, np.arange(N)] = END
    return tokens, lengths


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *((name, {}) for name in CONTEXT),
        ("attention", {"gate": True, "init_state": "mean", "doubly_stochastic": 1.0}),
        ("attention", {"query": "current", "frequencies": 2}),
    ],
)
def test_it_is_the_norm_of_the_slopes(name, more):
    rng = np.random.default_rng(1)
    model, (tokens, lengths) = made(name, **more), sentences(rng)
    features = rng.standard_normal((N, 2, 3, 5))
    features /= np.sqrt((features**2).mean(axis=(1, 2, 3), keepdims=True))  # as the model would make them
    reach = gradient_reach(model, features, tokens, lengths)
    assert (np.isnan(reach) == (np.arange(T)[:, None] >= lengths)).all()

    x = model.look(features) if "image.W" not in model.params else None

    def log_probs(regions):
        """Of every word, from regions that need not have a mean square of 1."""
        if x is None:
            from scratchlv.vision import image_feature

            regions, _ = image_feature.forward(model.params, model.buffers, regions, train=False)
        return read(model, model.start_from(regions), tokens).log_probs

    from scratchlv.vision import regions

    waves = model.config.waves
    base, _ = regions.forward(model.params, model.buffers, features, 5, np.float64, frequencies=waves, train=False)
    squares, h = np.zeros((T, N)), 1e-5
    for region in range(6):
        for channel in range(5):
            step = np.zeros_like(base)
            step[:, region, channel] = h
            squares += ((log_probs(base + step) - log_probs(base - step)) / (2 * h)) ** 2
    there = ~np.isnan(reach)
    np.testing.assert_allclose(reach[there], np.sqrt(squares)[there], rtol=1e-6)
    assert (reach[there] > 0).all()


@each_model
def test_it_does_not_depend_on_the_scale_of_the_features_or_on_who_is_beside(name):
    rng = np.random.default_rng(2)
    model, (tokens, lengths) = made(name), sentences(rng)
    features = rng.standard_normal((N, 2, 3, 5))
    reach = gradient_reach(model, features, tokens, lengths)
    np.testing.assert_allclose(gradient_reach(model, 7 * features, tokens, lengths), reach, rtol=1e-9)
    alone = gradient_reach(model, features[1:2], tokens[:, 1:2], lengths[1:2])
    np.testing.assert_allclose(alone[:, 0], reach[:, 1], rtol=1e-9)


def test_a_captioner_that_cannot_see_has_none():
    rng = np.random.default_rng(3)
    model, (tokens, lengths) = made("naive"), sentences(rng)
    model.params["init_state.W"][:] = 0
    reach = gradient_reach(model, rng.standard_normal((N, 2, 3, 5)), tokens, lengths)
    assert (reach[~np.isnan(reach)] == 0).all()


def test_what_the_cell_forgets_does_not_reach_a_later_word():
    """The lecture's dependency distance: a cell that keeps nothing cuts the naive captioner off after a word."""
    rng = np.random.default_rng(4)
    (tokens, lengths), features = sentences(rng), rng.standard_normal((N, 2, 3, 5))
    ends = {}
    for name in ("naive", "shortcut"):
        model = made(name)
        H = model.config.hidden
        model.params["decoder.Wh"][:] = 0
        model.params["decoder.b"][H : 2 * H] = -50  # the forget gate
        reach = gradient_reach(model, features, tokens, lengths)
        ends[name] = reach[1:][~np.isnan(reach[1:])]
    assert ends["naive"].max() < 1e-12 < ends["shortcut"].min()


def test_a_captioner_with_a_convolutional_network_of_its_own_is_measured_at_its_last_layer():
    model = Captioner(CaptionerConfig(vocabulary=V, embedding=6, hidden=7, attention=4, channels=(2, 3, 4)))
    rng = np.random.default_rng(5)
    tokens, lengths = sentences(rng)
    pictures = rng.integers(0, 256, (N, 64, 64, 3), dtype=np.uint8)
    reach = gradient_reach(model, pictures, tokens, lengths)
    assert np.isfinite(reach[~np.isnan(reach)]).all() and np.nanmin(reach) > 0
