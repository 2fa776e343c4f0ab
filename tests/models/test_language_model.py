"""The language model: gradients, the carried state, and that a lookup is a product with a one-hot vector."""

import math

import numpy as np
import pytest

import scratchlv
from scratchlv import decode
from scratchlv.batches import StreamBatch
from scratchlv.models import recurrent
from scratchlv.models.language_model import LanguageModel, LanguageModelConfig
from scratchlv.ops import embedding, linear

from .helpers import check_gradients, check_kernels, in_float64

V, T, N = 7, 5, 3


def language_model(cell="lstm", dropout=0.0, **more) -> LanguageModel:
    widths = {"vocabulary": V, "embedding": 4, "hidden": 3, "layers": 2, "streams": N}
    return LanguageModel(LanguageModelConfig(cell=cell, dropout=dropout, **(widths | more)), seed=2)


def tokens(steps=T, seed=0):
    return np.random.default_rng(seed).integers(0, V, (steps + 1, N))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_every_gradient_of_the_whole_model(cell, dropout):
    """From a state that was carried in, so that the recurrent weights count at the first step too."""
    model = in_float64(language_model(cell, dropout))
    rng = np.random.default_rng(1)
    carried = {name: rng.standard_normal(value.shape) for name, value in model.buffers.items()}
    batch = StreamBatch(tokens(), first=False, dropout_seed=4)
    report = check_gradients(model, batch, before=lambda: model.buffers.update(carried))
    assert report.ok, str(report)


REGULARISED = {
    "tied": {"tied": True, "embedding": 3},
    "variational": {"variational": True, "dropout": 0.4},
    "embedding dropout": {"embedding_dropout": 0.4},
    "weight drop": {"weight_drop": 0.4},
    "all": {
        "tied": True,
        "embedding": 3,
        "variational": True,
        "dropout": 0.3,
        "embedding_dropout": 0.2,
        "weight_drop": 0.3,
    },
}


@pytest.mark.parametrize("more", REGULARISED.values(), ids=REGULARISED)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_every_gradient_of_what_regularises(cell, more):
    model = in_float64(language_model(cell, **more))
    rng = np.random.default_rng(1)
    carried = {name: rng.standard_normal(value.shape) for name, value in model.buffers.items()}
    batch = StreamBatch(tokens(), first=False, dropout_seed=4)
    report = check_gradients(model, batch, before=lambda: model.buffers.update(carried))
    assert report.ok, str(report)


def test_variational_dropout_drops_the_same_units_at_every_step():
    x = np.ones((T, N, 40), np.float32)
    dropped, cache = recurrent.dropout_forward(x, 0.5, (3, 1), variational=True)
    assert (dropped == dropped[0]).all()
    assert 0 < (dropped[0] == 0).mean() < 1
    assert set(np.unique(dropped)) == {0, 2}
    assert (dropped[0, 0] != dropped[0, 1]).any()
    np.testing.assert_array_equal(recurrent.dropout_backward(x, cache), dropped)


def test_a_word_is_dropped_wherever_it_stands():
    model = language_model(embedding_dropout=0.5)
    stream = np.random.default_rng(0).integers(0, V, (50, N))
    kept = model._kept_words(stream, 7)[:, :, 0]
    assert {0.0, 2.0} == {float(value) for value in np.unique(kept)}
    for word in range(V):
        assert len(set(kept[stream == word])) == 1


def test_nothing_is_dropped_when_it_reads():
    plain, regularised = (
        language_model(),
        language_model(variational=True, embedding_dropout=0.5, weight_drop=0.5, dropout=0.5),
    )
    batch = StreamBatch(tokens())
    assert regularised.forward(batch, train=False)[0] == plain.forward(batch, train=False)[0]
    assert regularised.forward(batch)[0] != plain.forward(batch)[0]


def test_a_tied_model_decodes_with_its_embedding():
    model = language_model(tied=True, embedding=3)
    assert "output.W" not in model.params
    words = np.array([4, 2, 5])
    log_probs, _ = model.step(model.start(N), words)
    untied = language_model(embedding=3)
    untied.params.update(model.params, **{"output.W": np.ascontiguousarray(model.params["embedding.W"].T)})
    np.testing.assert_allclose(log_probs, untied.step(untied.start(N), words)[0], rtol=1e-6)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_top_layer_of_a_tied_model_is_as_wide_as_its_embedding(cell):
    model = in_float64(language_model(cell=cell, tied=True, embedding=4, layers=3))
    assert model.config.widths == (3, 3, 4)
    report = check_gradients(model, StreamBatch(tokens()))
    assert report.ok, str(report)
    log_probs, _ = model.step(model.start(N), np.array([4, 2, 5]))
    assert log_probs.shape == (N, V)


def test_weights_begin_within_the_scale_that_is_asked_for():
    model = language_model(init_scale=0.05)
    for name, value in model.params.items():
        assert abs(value).max() <= 0.05
        assert value.any() == (value.ndim == 2), name


def test_labels_are_smoothed_in_training_alone():
    smoothed, plain = in_float64(language_model(label_smoothing=0.2)), in_float64(language_model())
    batch = StreamBatch(tokens())
    assert smoothed.forward(batch, train=False)[0] == plain.forward(batch, train=False)[0]
    assert smoothed.forward(batch)[0] != plain.forward(batch)[0]
    report = check_gradients(smoothed, batch)
    assert report.ok, str(report)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_kernels_give_the_gradients_of_the_reference(cell):
    check_kernels(lambda: language_model(cell), StreamBatch(tokens()))


def test_two_halves_with_the_state_carried_are_the_whole():
    model, stream = in_float64(language_model()), tokens(2 * T)
    with scratchlv.use("reference"):
        whole, _ = model.forward(StreamBatch(stream), train=False)
        first, _ = model.forward(StreamBatch(stream[: T + 1], first=True))
        second, _ = model.forward(StreamBatch(stream[T:], first=False))
        forgotten, _ = model.forward(StreamBatch(stream[T:], first=True))
    assert (first + second) / 2 == pytest.approx(whole, rel=1e-12)
    assert second != pytest.approx(forgotten, rel=1e-3)


def test_validation_leaves_the_carried_state_alone():
    model = in_float64(language_model())
    with scratchlv.use("reference"):
        model.forward(StreamBatch(tokens()))
        before = {name: value.copy() for name, value in model.buffers.items()}
        model.forward(StreamBatch(tokens(seed=5)), train=False)
    assert any(value.any() for value in before.values())
    for name, value in model.buffers.items():
        np.testing.assert_array_equal(value, before[name])


def test_steps_say_what_teacher_forcing_says():
    model, stream = in_float64(language_model(dropout=0.3)), tokens()
    with scratchlv.use("reference"):
        loss, _ = model.forward(StreamBatch(stream), train=False)
        state, total = model.start(N), 0.0
        for now, after in zip(stream[:-1], stream[1:], strict=True):
            log_probs, state = model.step(state, now)
            total -= log_probs[np.arange(N), after].sum()
    assert loss == pytest.approx(total / (T * N), rel=1e-12)


def test_a_model_that_knows_nothing_loses_ln_v():
    model = in_float64(language_model())
    for value in model.params.values():
        value[:] = 0
    assert model.forward(StreamBatch(tokens()), train=False)[0] == pytest.approx(math.log(V))


def test_the_lookup_is_the_product_with_a_one_hot_vector():
    """Forward and backward: W[y] = onehot(y) W, and its gradient is onehot(y)ᵀ dx."""
    rng = np.random.default_rng(0)
    W, y, dx = rng.standard_normal((V, 4)), tokens(), rng.standard_normal((T + 1, N, 4))
    one_hot = np.eye(V)[y]  # (T, N, V)
    with scratchlv.use("reference"):
        looked_up, lookup_cache = embedding.forward(y, W)
        product, product_cache = linear.forward(one_hot, W)
        np.testing.assert_array_equal(looked_up, product)
        (dW,) = embedding.backward(dx, lookup_cache)
        _, dW_product, _ = linear.backward(dx, product_cache)
    np.testing.assert_allclose(dW, dW_product, rtol=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_packed_weights_say_what_the_arrays_say(cell):
    """While decoding: in every row, and with a state whose rows were taken anew, as a beam takes them."""
    model, words = language_model(cell), np.array([4, 2, 5])
    state = model.start(N)
    assert not isinstance(state.params["output.W"], np.ndarray)
    log_probs, state = model.step(state, words)
    plain_probs, plain_state = model.step(model.start(N)._replace(params=model.params), words)
    np.testing.assert_array_equal(log_probs, plain_probs)
    rows = np.array([2, 2, 0, 1])
    taken, plain_taken = decode._take(state, rows), decode._take(plain_state, rows)
    np.testing.assert_array_equal(model.step(taken, rows)[0], model.step(plain_taken, rows)[0])
    for row in range(N):
        alone, _ = model.step(model.start(1), words[row : row + 1])
        np.testing.assert_array_equal(alone[0], log_probs[row])
