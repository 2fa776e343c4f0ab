"""The captioner's backward pass, whole, against numerical derivatives; and its forward pass against the lecture's lines."""

from itertools import product

import numpy as np
import pytest

import scratchlv
from scratchlv.batches import CaptionBatch
from scratchlv.decode import greedy
from scratchlv.models import context, decoder, doubly_stochastic
from scratchlv.models.captioner import CONTEXT, Captioner, CaptionerConfig
from scratchlv.tokens import END

from ..slow import one_of
from .helpers import check_gradients, check_kernels, check_same, in_float64, sentences, wrong

V = 11
#: the models, and attention that asks with the state that has read the word
LOOKS = (*CONTEXT, "attention, current")


def captioner(model="attention", feature_channels=None, dropout=0.0, **more) -> Captioner:
    model, _, query = model.partition(", ")
    more = {"query": query} | more if query else more
    return Captioner(
        CaptionerConfig(
            vocabulary=V,
            embedding=5,
            hidden=6,
            attention=4,
            channels=(3, 4, 5),
            feature_channels=feature_channels,
            dropout=dropout,
            model=model,
            **more,
        ),
        seed=3,
    )


def batch(feature_channels=None, size=(16, 24)) -> CaptionBatch:
    rng = np.random.default_rng(0)
    shape = (3, *size, 3) if feature_channels is None else (3, 2, 3, feature_channels)
    pictures = rng.integers(0, 256, shape).astype(np.uint8) if feature_channels is None else rng.standard_normal(shape)
    lengths = np.array([5, 2, 4])
    return CaptionBatch(pictures, sentences(rng, V, lengths), lengths, dropout_seed=5)


def test_dropout_is_for_training_alone():
    dropping, whole = (captioner(feature_channels=7, dropout=p) for p in (0.5, 0.0))
    data = batch(feature_channels=7)
    assert dropping.forward(data)[0] != whole.forward(data)[0]
    assert dropping.forward(data, train=False)[0] == whole.forward(data, train=False)[0]


def test_labels_are_smoothed_in_training_alone():
    smoothed, plain = (captioner(feature_channels=7, label_smoothing=p) for p in (0.2, 0.0))
    data = batch(feature_channels=7)
    assert smoothed.forward(data)[0] != plain.forward(data)[0]
    assert smoothed.forward(data, train=False)[0] == plain.forward(data, train=False)[0]


def test_words_are_dropped_in_training_alone_and_not_as_the_deep_output_is():
    data = batch(feature_channels=7)
    dropping, deep, both, whole = (
        captioner(feature_channels=7, input_dropout=p, dropout=q) for p, q in ((0.5, 0), (0, 0.5), (0.5, 0.5), (0, 0))
    )
    losses = {float(model.forward(data)[0]) for model in (dropping, deep, both, whole)}
    assert len(losses) == 4
    assert dropping.forward(data, train=False)[0] == whole.forward(data, train=False)[0]
    _, (_, kept) = both.forward(data)
    assert kept.dropped_words.key != kept.dropped.key  # or the same places were dropped twice


DIFFERENTIABLE = [name for name in LOOKS if name != "hard-attention"]  # what is drawn: test_hard_attention.py


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_gradient_where_words_are_dropped(name):
    model = in_float64(captioner(name, 7, dropout=0.3, input_dropout=0.4))
    report = check_gradients(model, batch(7))
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("name", "feature_channels", "dropout"),
    one_of(2, [(name, *of) for name, of in product(DIFFERENTIABLE, [(None, 0.0), (7, 0.0), (7, 0.4)])]),
)
def test_every_gradient_of_the_whole_model(name, feature_channels, dropout):
    size = (64, 64) if name in ("naive", "shortcut") else (16, 24)  # a fully connected layer knows one size of picture
    model = in_float64(captioner(name, feature_channels, dropout))
    report = check_gradients(model, batch(feature_channels, size))
    assert report.ok, str(report)


def test_every_gradient_with_a_positional_encoding():
    report = check_gradients(in_float64(captioner("attention, current", frequencies=2)), batch())
    assert report.ok, str(report)


def test_waves_of_places_are_for_those_who_choose_among_them():
    assert captioner("attention", 7, frequencies=2).params["decoder.Wx"].shape[0] == 5 + 7 + 2 + 8
    for name in ("uniform", "shortcut"):
        plain, with_waves = captioner(name, 7), captioner(name, 7, frequencies=2)
        assert {k: a.shape for k, a in plain.params.items()} == {k: a.shape for k, a in with_waves.params.items()}


#: of Xu et al. 2015
OPTIONS = {
    "gate": {"gate": True},
    "the first state of the mean": {"init_state": "mean"},
    "doubly stochastic": {"doubly_stochastic": 0.3},
    "all": {"gate": True, "init_state": "mean", "doubly_stochastic": 0.3},
    "all, with the current query": {"gate": True, "init_state": "mean", "doubly_stochastic": 0.3, "query": "current"},
}
options = pytest.mark.parametrize("option", OPTIONS)


@pytest.mark.parametrize("own_encoder", [False, pytest.param(True, marks=pytest.mark.slow)])
@options
def test_every_gradient_of_the_whole_model_with(option, own_encoder):
    features = None if own_encoder else 7
    model = in_float64(captioner("attention", features, **OPTIONS[option]), 2)
    report = check_gradients(model, batch(features))
    assert report.ok, str(report)


def test_every_gradient_of_uniform_attention_that_begins_with_the_mean():
    model = in_float64(captioner("uniform", init_state="mean"))
    report = check_gradients(model, batch())
    assert report.ok, str(report)


@options
def test_the_kernels_give_the_gradients_of_the_reference_with(option):
    check_kernels(lambda: captioner(**OPTIONS[option]), batch())


@options
def test_padding_changes_nothing_with(option):
    data = batch(7)
    longer = data._replace(tokens=np.concatenate([data.tokens, np.zeros((3, 3), int)]))
    check_same(captioner("attention", 7, **OPTIONS[option]), data, longer, 1e-6)


def test_the_penalty_is_for_training_alone_and_is_that_of_the_weights():
    plain, penalised = (captioner(feature_channels=7, doubly_stochastic=x) for x in (0.0, 0.3))
    data = batch(7)
    assert plain.forward(data, train=False)[0] == penalised.forward(data, train=False)[0]
    state, alphas = plain.start(data.pictures), []
    for words in data.tokens[:-1]:
        _, state = plain.step(state, words)
        alphas.append(state.alpha)
    counts = np.arange(5)[:, None] < data.lengths
    penalty, _ = doubly_stochastic.forward(np.stack(alphas), counts, None, 0.3)
    assert penalised.forward(data)[0] == pytest.approx(plain.forward(data)[0] + penalty, rel=1e-5)


def test_a_closed_gate_hides_the_picture():
    """With the gate at 0 no word depends on it."""
    model, data = captioner(feature_channels=7, gate=True), batch(7)
    other = data._replace(pictures=data.pictures[::-1].copy())
    assert model.forward(data)[0] != model.forward(other)[0]
    model.params["gate.b"][:] = -200  # σ is 0 in float32, and its gradient too
    (loss, cache), (same, _) = model.forward(data), model.forward(other)
    assert loss == same
    assert not np.any(model.backward(cache)["attention.v"])
    states = model.start(data.pictures), model.start(other.pictures)
    said, other_said = (model.step(state, data.tokens[0])[0] for state in states)
    np.testing.assert_array_equal(said, other_said)


@pytest.mark.parametrize(
    ("model", "more", "saying"),
    [
        ("naive", {"gate": True}, "of an LSTM that attends"),
        ("uniform", {"doubly_stochastic": 0.1}, "of an LSTM that attends"),
        ("shortcut", {"init_state": "mean"}, "no regions to begin with the mean of"),
        ("hard-attention", {"doubly_stochastic": 0.1}, "of soft attention"),
        ("attention", {"init_state": "median"}, "one of zero, mean"),
        ("attention", {"own_words": "best"}, "of sample, greedy"),
    ],
)
def test_options_that_mean_nothing_are_refused(model, more, saying):
    with pytest.raises(ValueError, match=saying):
        captioner(model, **more)


REWARDS = {
    "of sentences": np.array([0.5, -1.5, 2.0]),
    "of words": np.random.default_rng(7).standard_normal((5, 3)),
}


@pytest.mark.parametrize("of", REWARDS)
def test_every_gradient_of_weighted_words(of):
    """As self-critical training has them: reward - baseline, above and below 0."""
    report = check_gradients(in_float64(captioner(feature_channels=7)), batch(7)._replace(word_weights=REWARDS[of]))
    assert report.ok, str(report)


@pytest.mark.parametrize("of", REWARDS)
def test_the_kernels_give_the_gradients_of_weighted_words(of):
    check_kernels(lambda: captioner(feature_channels=7), batch(7)._replace(word_weights=REWARDS[of]))


def test_the_loss_of_weighted_words_is_what_steps_say_of_them():
    model, data = captioner(feature_channels=7), batch(7)
    loss, _ = model.forward(data._replace(word_weights=REWARDS["of sentences"]))
    state, total = model.start(data.pictures), 0.0
    for t in range(5):
        log_probs, state = model.step(state, data.tokens[t])
        said = log_probs[np.arange(3), data.tokens[t + 1]]
        total -= (said * REWARDS["of sentences"])[t < data.lengths].sum()
    assert loss == pytest.approx(total / data.lengths.sum(), rel=1e-5)


# each way that a gradient takes through the decoder, and the parameters that it reaches: take it away, and they are wrong
CELL, QUERY = {"decoder.Wx", "decoder.Wh", "decoder.b"}, {"attention.Wh", "attention.v"}
KEYS, WORDS = {"attention.Wx", "attention.b"}, {"embedding.W"}
WAYS = {
    "from the query to the state before": CELL | QUERY | KEYS | WORDS,
    "from the deep output to the state": CELL | QUERY | KEYS | WORDS,
    "from the deep output to the context": CELL | QUERY | KEYS | WORDS,
    "from the cell to the words": WORDS,
    "from the scores to the keys": KEYS,
}


# of attention that asks with the current state, besides: the cell reads the first word outside of the loop, in a state of 0
FIRST = {"decoder.Wx", "decoder.b"}
CURRENT_WAYS = {
    "from the loop to the first state": FIRST | WORDS,
    "from the first state to the cell": FIRST,
    "from the deep output to the first state": FIRST | WORDS,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_way_of_the_gradient_that_is_missing_is_found(way, monkeypatch):
    """The check above can fail."""
    through = decoder.attend_through_backward

    def without(config, dhs, dzs, dalphas, cache):
        if way == "from the query to the state before":
            cache = cache._replace(Wq=0 * cache.Wq)
        dhs = 0 * dhs if way == "from the deep output to the state" else dhs
        dzs = 0 * dzs if way == "from the deep output to the context" else dzs
        dx, dkeys, dwords, dstate, grads = through(config, dhs, dzs, dalphas, cache)
        dwords = 0 * dwords if way == "from the cell to the words" else dwords
        dkeys = 0 * dkeys if way == "from the scores to the keys" else dkeys
        return dx, dkeys, dwords, dstate, grads

    monkeypatch.setattr(decoder, "attend_through_backward", without)
    report = check_gradients(in_float64(captioner(feature_channels=7)), batch(7))
    assert not report.ok
    assert wrong(report) == WAYS[way]


@pytest.mark.parametrize("way", CURRENT_WAYS)
def test_a_way_of_the_gradient_that_is_missing_with_the_current_query_is_found(way, monkeypatch):
    through = context.layer_backward

    def without(dh, dstate, cache):
        if way == "from the loop to the first state":
            dstate = tuple(0 * d for d in dstate)
        if way == "from the deep output to the first state":
            dh = 0 * dh
        dx, dstate, grads = through(dh, dstate, cache)
        return dx, dstate, {k: 0 * d for k, d in grads.items()} if way == "from the first state to the cell" else grads

    monkeypatch.setattr(context, "layer_backward", without)
    report = check_gradients(in_float64(captioner("attention, current", 7)), batch(7))
    assert not report.ok
    assert wrong(report) == CURRENT_WAYS[way]


@pytest.mark.parametrize("name", ["attention", "attention, current"])
def test_the_loss_is_what_the_lectures_lines_give(name):
    """Written out once more, one caption and one word at a time, in plain NumPy."""
    model, data = in_float64(captioner(name, feature_channels=7)), batch(7)
    p = model.params
    with scratchlv.use("reference"):
        loss, _ = model.forward(data, train=False)
    pictures = data.pictures / np.sqrt((data.pictures**2).mean(axis=(1, 2, 3), keepdims=True))
    across, down = np.meshgrid(np.linspace(-1, 1, 3), np.linspace(-1, 1, 2))
    total, count = 0.0, 0
    for n in range(3):
        x = np.concatenate([pictures[n].reshape(6, 7), across.reshape(6, 1), down.reshape(6, 1)], axis=1)
        h, c, z = np.zeros(6), np.zeros(6), np.zeros(9)

        def look(x, h):
            keys = x @ p["attention.Wx"] + p["attention.b"]
            e = np.array([p["attention.v"] @ np.tanh(key + h @ p["attention.Wh"]) for key in keys])
            alpha = np.exp(e) / np.exp(e).sum()
            return sum(a * xl for a, xl in zip(alpha, x, strict=True))

        for t in range(data.lengths[n]):
            y = p["embedding.W"][data.tokens[t, n]]
            z = look(x, h) if name == "attention" else z  # of the step before
            i, f, g, o = np.split(np.concatenate([y, z]) @ p["decoder.Wx"] + h @ p["decoder.Wh"] + p["decoder.b"], 4)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            z = z if name == "attention" else look(x, h)
            scores = (y + h @ p["output.Wh"] + z @ p["output.Wz"]) @ p["output.Wo"] + p["output.b"]
            total -= scores[data.tokens[t + 1, n]] - np.log(np.exp(scores).sum())
            count += 1
    assert loss == pytest.approx(total / count, rel=1e-12)


@pytest.mark.parametrize("name", LOOKS)
def test_the_kernels_give_the_gradients_of_the_reference(name):
    check_kernels(lambda: captioner(name), batch(size=(64, 64)))


@pytest.mark.parametrize("name", LOOKS)
def test_padding_changes_nothing(name):
    data = batch(7)
    longer = data._replace(tokens=np.concatenate([data.tokens, np.zeros((3, 3), int)]))
    check_same(captioner(name, 7), data, longer, 1e-6)


@pytest.mark.parametrize(
    ("name", "option"), [*((name, None) for name in LOOKS), *(("attention", option) for option in OPTIONS)]
)
def test_steps_say_what_teacher_forcing_says(name, option):
    """Fed with the true words, ``step`` gives the probabilities that the loss was made of."""
    model, data = captioner(name, 7, **OPTIONS.get(option, {})), batch(7)
    loss, _ = model.forward(data, train=False)
    state, total = model.start(data.pictures), 0.0
    for t in range(5):
        log_probs, state = model.step(state, data.tokens[t])
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=1e-5)
        if name not in ("naive", "shortcut"):
            np.testing.assert_allclose(state.alpha.sum(axis=1), 1, rtol=1e-5)
        else:
            assert state.alpha is None
        total -= log_probs[np.arange(3), data.tokens[t + 1]][t < data.lengths].sum()
    assert loss == pytest.approx(total / data.lengths.sum(), rel=1e-5)


@pytest.mark.parametrize("name", ["attention", "attention, current"])
def test_sharpened_attention_is_the_softmax_of_larger_scores(name):
    data = batch(7)
    plain, sharp = (in_float64(captioner(name, 7, sharpening=by)) for by in (1.0, 2.5))
    (_, soft), (_, sharpened) = (m.step(m.start(data.pictures), data.tokens[0]) for m in (plain, sharp))
    powers = soft.alpha**2.5
    np.testing.assert_allclose(sharpened.alpha, powers / powers.sum(axis=1, keepdims=True), rtol=1e-9)
    assert plain.forward(data)[0] == sharp.forward(data)[0]  # training knows nothing of it
    _, learning = sharp.step(sharp.start(data.pictures, train=True), data.tokens[0])  # nor what is drawn for a reward
    np.testing.assert_array_equal(learning.alpha, soft.alpha)


def test_greedy_decoding_stops_at_the_end_symbol_and_at_the_limit():
    model, data = captioner(feature_channels=7), batch(7)
    model.params["output.b"][:] = 0
    model.params["output.b"][4] = 1e4
    for g in greedy(model, data.pictures, max_length=9):
        assert g.tokens.tolist() == [4] * 9
        assert not g.finished
        assert g.alphas.shape == (9, 6)
    model.params["output.b"][END] = 2e4
    for g in greedy(model, data.pictures, max_length=9):
        assert g.tokens.tolist() == [END]
        assert g.finished
        np.testing.assert_allclose(g.probabilities, 1)


def test_uniform_attention_is_attention_that_cannot_move():
    """With a score of zero for every region, the attention captioner is the uniform one."""
    data = batch(7)
    attention, uniform = (captioner(name, 7) for name in ("attention", "uniform"))
    attention.params.update(uniform.params)
    attention.params["attention.v"] = np.zeros_like(attention.params["attention.v"])
    assert attention.forward(data, train=False)[0] == pytest.approx(uniform.forward(data, train=False)[0], rel=1e-6)


def test_naive_sees_the_picture_in_its_first_state_only():
    model, data = captioner("naive", 7), batch(7)
    other = data._replace(pictures=data.pictures[::-1].copy())
    state, swapped = model.start(data.pictures), model.start(other.pictures)
    here, there = model.step(state, data.tokens[0])[0], model.step(swapped, data.tokens[0])[0]
    assert not np.allclose(here[0], there[0])
    swapped = swapped._replace(layer=state.layer)  # all else is still the other picture's
    np.testing.assert_array_equal(model.step(swapped, data.tokens[0])[0], here)
