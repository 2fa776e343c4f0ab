"""The translator: gradients with and without attention, and what padding and sentence order may not change."""

import numpy as np
import pytest

import scratchlv
from scratchlv.batches import PairBatch
from scratchlv.gradcheck import check_model
from scratchlv.models.translator import CONTEXT, Translator, TranslatorConfig
from scratchlv.tokens import END, START

V, S, N = 9, 6, 3


def small(model="additive", layers=1, cell="lstm", dropout=0.0, shared=False, dtype=np.float64) -> Translator:
    shape = TranslatorConfig(V, None if shared else V + 2, model, 5, 4, 3, layers, cell, dropout)
    translator = Translator(shape, seed=3)
    translator.params = {name: value.astype(dtype) for name, value in translator.params.items()}
    return translator


def batch() -> PairBatch:
    rng = np.random.default_rng(0)
    source_lengths, lengths = np.array([6, 2, 4]), np.array([3, 5, 4])
    source = np.where(np.arange(S)[:, None] < source_lengths, rng.integers(4, V, (S, N)), 0)
    tokens = np.zeros((6, N), int)
    tokens[0] = START
    for n, length in enumerate(lengths):
        tokens[1:length, n] = rng.integers(4, V, length - 1)
        tokens[length, n] = END
    return PairBatch(source, source_lengths, tokens, lengths, dropout_seed=5)


@pytest.mark.parametrize("model", CONTEXT)
@pytest.mark.parametrize(
    ("layers", "cell", "dropout", "shared"), [(1, "lstm", 0.0, False), (2, "rnn", 0.0, True), (2, "lstm", 0.3, False)]
)
def test_every_gradient_of_the_whole_model(model, layers, cell, dropout, shared):
    translator, data = small(model, layers, cell, dropout, shared), batch()

    def loss_and_grads(params):
        translator.params = params
        loss, cache = translator.forward(data)
        return loss, translator.backward(cache)

    with scratchlv.use("reference"):
        report = check_model(translator.params, loss_and_grads, seed=1)
    assert report.ok, str(report)


@pytest.mark.parametrize("model", CONTEXT)
def test_the_kernels_give_the_gradients_of_the_reference(model):
    exact, fast, data = small(model), small(model, dtype=np.float32), batch()
    with scratchlv.use("reference"):
        loss, cache = exact.forward(data)
        grads = exact.backward(cache)
    fast_loss, cache = fast.forward(data)
    assert fast_loss == pytest.approx(loss, abs=2e-6)
    for name, grad in fast.backward(cache).items():
        np.testing.assert_allclose(grad, grads[name], atol=3e-5 * np.abs(grads[name]).max() + 1e-7, err_msg=name)


@pytest.mark.parametrize("model", CONTEXT)
def test_padding_of_either_side_changes_nothing(model):
    translator, data = small(model), batch()
    longer = data._replace(
        source=np.concatenate([data.source, np.full((3, N), 5)]),
        tokens=np.concatenate([data.tokens, np.zeros((2, N), int)]),
    )
    with scratchlv.use("reference"):
        (loss, cache), (loss_longer, cache_longer) = translator.forward(data), translator.forward(longer)
        grads, grads_longer = translator.backward(cache), translator.backward(cache_longer)
    assert loss == pytest.approx(loss_longer, rel=1e-12)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, grads_longer[name], atol=1e-12, err_msg=name)


@pytest.mark.parametrize("model", CONTEXT)
def test_steps_say_what_teacher_forcing_says(model):
    translator, data = small(model, layers=2), batch()
    with scratchlv.use("reference"):
        loss, _ = translator.forward(data, train=False)
        state, total = translator.start((data.source, data.source_lengths)), 0.0
        for t in range(5):
            log_probs, state = translator.step(state, data.tokens[t])
            total -= log_probs[np.arange(N), data.tokens[t + 1]][t < data.lengths].sum()
            if model != "naive":
                assert (state.alpha[~state.mask] == 0).all()  # nobody looks at padding
    assert loss == pytest.approx(total / data.lengths.sum(), rel=1e-12)


def test_the_last_hidden_state_is_all_that_the_naive_decoder_gets():
    translator, data = small("naive"), batch()
    with scratchlv.use("reference"):
        state = translator.start((data.source, data.source_lengths))
    assert state.x.shape == (N, 4)
    assert state.keys is None
    assert state.mask is None
