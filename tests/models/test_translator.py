"""The translator: gradients with and without attention, and what padding and sentence order may not change."""

from itertools import product

import numpy as np
import pytest

import scratchlv
from scratchlv.batches import PairBatch
from scratchlv.decode import beam_search, greedy, sample
from scratchlv.models.translator import CONTEXT, Translator, TranslatorConfig

from ..slow import one_of
from .helpers import check_gradients, check_kernels, check_same, in_float64, sentences

V, S, N = 9, 6, 3


def translator(model="additive", layers=1, cell="lstm", dropout=0.0, shared=False, **more) -> Translator:
    return Translator(
        TranslatorConfig(
            vocabulary=V,
            source_vocabulary=None if shared else V + 2,
            model=model,
            embedding=5,
            hidden=4,
            attention=3,
            layers=layers,
            cell=cell,
            dropout=dropout,
            **more,
        ),
        seed=3,
    )


def batch() -> PairBatch:
    rng = np.random.default_rng(0)
    source_lengths, lengths = np.array([6, 2, 4]), np.array([3, 5, 4])
    source = np.where(np.arange(S)[:, None] < source_lengths, rng.integers(4, V, (S, N)), 0)
    return PairBatch(source, source_lengths, sentences(rng, V, lengths), lengths, dropout_seed=5)


KINDS = [(1, "lstm", 0.0, False), (2, "rnn", 0.0, True), (2, "gru", 0.0, False), (2, "lstm", 0.3, False)]


@pytest.mark.parametrize(
    ("model", "layers", "cell", "dropout", "shared"),
    one_of(3, [(model, *kind) for model, kind in product(CONTEXT, KINDS)]),
)
def test_every_gradient_of_the_whole_model(model, layers, cell, dropout, shared):
    report = check_gradients(in_float64(translator(model, layers, cell, dropout, shared)), batch())
    assert report.ok, str(report)


@pytest.mark.parametrize(("cell", "model"), one_of(2, product(["lstm", "gru"], CONTEXT)))
def test_gradients_with_tied_weights_dropped_words_and_input_feeding(model, cell):
    query = "previous" if model == "naive" else "current"
    made = translator(model, 2, cell, dropout=0.2, shared=True, tied=True, input_dropout=0.3, query=query)
    assert "output.Wo" not in made.params
    report = check_gradients(in_float64(made), batch())
    assert report.ok, str(report)


# --- copying ---------------------------------------------------------------------------------------------------------


def batch_to_copy() -> PairBatch:
    """Two sources have a word that the vocabulary lacks, one of them twice; targets have words of all kinds."""
    data = batch()
    copied_from = np.where(np.arange(S)[:, None] < data.source_lengths, data.source, -1)
    copied_from[[0, 3], 0], copied_from[1, 2], copied_from[2, 0] = V, V, V + 1
    tokens = data.tokens.copy()
    tokens[1, 0], tokens[2, 0], tokens[2, 1], tokens[1, 2] = V, V + 1, copied_from[1, 1], V
    return data._replace(tokens=tokens, copied_from=copied_from)


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("additive", {}),
        ("dot", {"coverage": 0.7}),
        ("additive", {"coverage": 1.0, "query": "current", "tied": True, "dropout": 0.2, "input_dropout": 0.3}),
        ("dot", {"query": "current", "shared": True}),
    ],
)
def test_every_gradient_of_a_model_that_copies(model, more):
    report = check_gradients(in_float64(translator(model, copy=True, **more)), batch_to_copy())
    assert report.ok, str(report)


@pytest.mark.parametrize("model", ["additive", "dot"])
def test_kernels_copy_as_the_reference_does(model):
    check_kernels(lambda: translator(model, copy=True, coverage=0.5), batch_to_copy())


@pytest.mark.parametrize("query", ["previous", "current"])
def test_steps_copy_what_teacher_forcing_copies(query):
    exact, data = in_float64(translator(copy=True, query=query)), batch_to_copy()
    with scratchlv.use("reference"):
        loss, _ = exact.forward(data, train=False)
        state, total = exact.start((data.source, data.source_lengths, data.copied_from)), 0.0
        for t in range(5):
            log_probs, state = exact.step(state, data.tokens[t])
            assert log_probs.shape == (N, V + 2)
            np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1)  # it is a distribution
            assert (log_probs[1, V:] == -np.inf).all()  # of a source that has all its words known
            total -= log_probs[np.arange(N), data.tokens[t + 1]][t < data.lengths].sum()
    assert loss == pytest.approx(total / data.lengths.sum(), rel=1e-12)


def test_what_only_the_source_has_was_copied_and_what_it_has_not_was_generated():
    data = batch_to_copy()
    copied = translator(copy=True).copied(data)
    assert copied.shape == (5, N)
    assert copied[0, 0] == 1  # V: the vocabulary has it not
    assert copied[data.lengths[1] - 1, 1] == 0  # <end>
    assert 0 < copied[1, 1] < 1


def test_padding_of_either_side_is_never_copied():
    data = batch_to_copy()
    longer = data._replace(
        source=np.concatenate([data.source, np.full((3, N), 5)]),
        copied_from=np.concatenate([data.copied_from, np.full((3, N), -1)]),
        tokens=np.concatenate([data.tokens, np.zeros((2, N), int)]),
    )
    with scratchlv.use("reference"):
        check_same(in_float64(translator(copy=True, coverage=0.5)), data, longer, 1e-12)


@pytest.mark.parametrize("beam", [1, 3])
def test_words_that_the_vocabulary_lacks_are_said_by_every_decoder(beam):
    model, data = translator(copy=True), batch_to_copy()
    model.params["copy.b"][...] = -50  # it only copies
    sources = (data.source, data.source_lengths, data.copied_from)
    said = greedy(model, sources, max_length=4) if beam == 1 else beam_search(model, sources, beam=3, max_length=4)
    for n, generated in enumerate(said):
        assert set(generated.tokens) <= set(data.copied_from[:, n]) - {-1}
    drawn = sample(model, sources, seed=0, max_length=30)
    assert V in drawn[0].tokens and V + 1 in drawn[0].tokens


@pytest.mark.parametrize("more", [{"model": "naive"}, {"cell": "gru"}, {"label_smoothing": 0.1}])
def test_models_that_cannot_copy(more):
    with pytest.raises(ValueError, match="cop"):
        translator(copy=True, **more)
    with pytest.raises(ValueError, match="coverage"):
        translator(coverage=1.0)
    with pytest.raises(ValueError, match="word_weights"):
        translator(copy=True).forward(batch_to_copy()._replace(word_weights=np.ones(N)))


def test_words_are_dropped_on_both_sides_in_training_alone():
    exact = in_float64(translator(input_dropout=0.5))
    with scratchlv.use("reference"):
        (_, (encoder, decoder)), plain = exact.forward(batch()), in_float64(translator()).forward(batch(), train=False)
    assert encoder[1] is not None and decoder.dropped_words is not None
    assert exact.forward(batch(), train=False)[0] == plain[0]


def test_labels_are_smoothed_in_training_alone():
    smoothed, plain = in_float64(translator(label_smoothing=0.2)), in_float64(translator())
    assert smoothed.forward(batch(), train=False)[0] == plain.forward(batch(), train=False)[0]
    assert smoothed.forward(batch())[0] != plain.forward(batch())[0]
    report = check_gradients(smoothed, batch())
    assert report.ok, str(report)


@pytest.mark.parametrize("model", CONTEXT)
@pytest.mark.parametrize("tied", [False, True])
def test_the_kernels_give_the_gradients_of_the_reference(model, tied):
    check_kernels(lambda: translator(model, tied=tied), batch())


@pytest.mark.parametrize("model", CONTEXT)
def test_padding_of_either_side_changes_nothing(model):
    data = batch()
    longer = data._replace(
        source=np.concatenate([data.source, np.full((3, N), 5)]),
        tokens=np.concatenate([data.tokens, np.zeros((2, N), int)]),
    )
    with scratchlv.use("reference"):
        check_same(in_float64(translator(model)), data, longer, 1e-12)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("model", CONTEXT)
def test_steps_say_what_teacher_forcing_says(model, tied):
    query = "current" if tied and model != "naive" else "previous"
    exact, data = in_float64(translator(model, layers=2, tied=tied, query=query)), batch()
    with scratchlv.use("reference"):
        loss, _ = exact.forward(data, train=False)
        state, total = exact.start((data.source, data.source_lengths)), 0.0
        for t in range(5):
            log_probs, state = exact.step(state, data.tokens[t])
            total -= log_probs[np.arange(N), data.tokens[t + 1]][t < data.lengths].sum()
            if model != "naive":
                assert (state.alpha[~state.mask] == 0).all()  # nobody looks at padding
    assert loss == pytest.approx(total / data.lengths.sum(), rel=1e-12)


def test_the_last_hidden_state_is_all_that_the_naive_decoder_gets():
    data = batch()
    with scratchlv.use("reference"):
        state = in_float64(translator("naive")).start((data.source, data.source_lengths))
    assert state.x.shape == (N, 4)
    assert state.keys is None
    assert state.mask is None
