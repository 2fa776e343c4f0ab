"""Scheduled sampling: the word before is now and then the model's own."""

import numpy as np
import pytest

from scratchlv import decode
from scratchlv.batches import StreamBatch
from scratchlv.models.scheduled_sampling import choose, words_before
from scratchlv.tokens import END, PAD, START, UNK

from .helpers import check_gradients, check_kernels, in_float64
from .test_captioner import batch as caption_batch
from .test_captioner import captioner
from .test_language_model import language_model
from .test_language_model import tokens as stream
from .test_translator import batch as pair_batch
from .test_translator import translator

V, T, N = 9, 6, 500
TOKENS = np.random.default_rng(0).integers(4, V, (T + 1, N))
TOKENS[0] = START
LENGTHS = np.random.default_rng(1).integers(1, T + 1, N)


def counting_up(state, words):
    """A model that says the word after the one before, always; its state is what it has read."""
    read = np.concatenate([state, words[None]])
    log_probs = np.full((len(words), V), -np.inf)
    log_probs[np.arange(len(words)), 4 + (words - 3) % (V - 4)] = 0
    return log_probs, read


def before(probability, choice="sample", seed=3, tokens=TOKENS, lengths=LENGTHS):
    return words_before(np.zeros((0, N)), counting_up, tokens, lengths, probability, choice, seed)


def test_a_probability_of_0_is_teacher_forcing():
    np.testing.assert_array_equal(before(0.0), TOKENS[:-1])


@pytest.mark.parametrize("choice", ["sample", "greedy"])
def test_a_probability_of_1_is_what_the_model_says_to_its_own_words(choice):
    """From <start> on: it reads what it said, and not what is true."""
    said = before(1.0, choice)
    inside = np.arange(T)[:, None] < LENGTHS
    expected = np.empty((T, N), int)
    expected[0] = START
    for t in range(1, T):
        expected[t] = 4 + (expected[t - 1] - 3) % (V - 4)
    np.testing.assert_array_equal(said[inside], expected[inside])
    np.testing.assert_array_equal(said[~inside], TOKENS[:-1][~inside])


def test_each_word_is_the_models_with_this_probability():
    said = before(0.3)
    assert (said[0] == START).all()
    follows = 4 + (said[:-1] - 3) % (V - 4)  # what it says to what it read
    own = (said[1:] == follows) & (TOKENS[1:-1] != follows)
    could_be = (TOKENS[1:-1] != follows) & (np.arange(1, T)[:, None] < LENGTHS)
    share = own[could_be].mean()
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / could_be.sum()) ** 0.5
    others = ~own
    np.testing.assert_array_equal(said[1:][others], TOKENS[1:-1][others])


def test_the_same_seed_the_same_words_and_longer_sentences_change_none():
    np.testing.assert_array_equal(before(0.5), before(0.5))
    assert (before(0.5) != before(0.5, seed=4)).any()
    longer = np.concatenate([TOKENS, np.full((3, N), PAD)])
    np.testing.assert_array_equal(before(0.5, tokens=longer)[:T], before(0.5))


def test_words_are_chosen_as_likely_as_they_are_among_those_that_are_fed_back():
    p = np.array([0.1, 0.1, 0.2, 0.1, 0.1, 0.0, 0.25, 0.15])  # <pad>, <start>, <end> and <unk> are never said
    log_probs = np.log(np.tile(p, (1000, 1)), where=p > 0, out=np.full((1000, 8), -np.inf))
    found = choose(log_probs, np.linspace(0, 1 - 1e-9, 1000), "sample")
    assert not set(found) & {PAD, START, END, UNK, 5}
    counts = np.bincount(found, minlength=8) / 1000
    np.testing.assert_allclose(counts, np.where(np.arange(8) < 4, 0, p) / 0.5, atol=2e-3)
    assert (choose(log_probs, np.zeros(1000), "greedy") == 6).all()


# --- in the models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (lambda: captioner(feature_channels=7), caption_batch(7)),
        (lambda: captioner("uniform", 7), caption_batch(7)),
        (lambda: translator("additive"), pair_batch()),
    ],
    ids=["captioner", "captioner that looks everywhere", "translator"],
)
def test_what_is_learned_is_the_sentence_after_those_words(make, data):
    """An ordinary pass over the words that were drawn: no gradient goes through them."""
    model = make()
    drawn = data._replace(scheduled_sampling=0.7)
    loss, cache = model.forward(drawn)
    state = model.start((data.source, data.source_lengths) if hasattr(data, "source") else data.pictures)
    read = words_before(state, model.step, data.tokens, data.lengths, 0.7, "sample", data.dropout_seed)
    assert (read != data.tokens[:-1]).any()
    state, total = model.start((data.source, data.source_lengths) if hasattr(data, "source") else data.pictures), 0.0
    for t, words in enumerate(read):
        log_probs, state = model.step(state, words)
        total -= log_probs[np.arange(3), data.tokens[t + 1]][t < data.lengths].sum()
    assert loss == pytest.approx(total / data.lengths.sum(), rel=1e-5)
    assert model.forward(drawn, train=False)[0] == model.forward(data, train=False)[0]
    assert set(model.backward(cache)) == set(model.params)


def test_every_gradient_with_the_words_that_were_drawn():
    """They are drawn again for each slope; as long as they are the same words, the loss is smooth."""
    model = in_float64(captioner(feature_channels=7))
    report = check_gradients(model, caption_batch(7)._replace(scheduled_sampling=0.5))
    assert report.ok, str(report)


def test_the_kernels_draw_the_words_of_the_reference():
    check_kernels(lambda: captioner(feature_channels=7), caption_batch(7)._replace(scheduled_sampling=0.5))


def test_greedy_words_are_those_that_greedy_decoding_says():
    model, data = captioner(feature_channels=7, own_words="greedy"), caption_batch(7)
    state = model.start(data.pictures)
    read = words_before(state, model.step, data.tokens, data.lengths, 1.0, "greedy", 0)
    said = decode.greedy(model, data.pictures, max_length=4, min_length=4)
    for n, g in enumerate(said):
        most = min(data.lengths[n], 5)
        np.testing.assert_array_equal(read[1:most, n], g.tokens[: most - 1])


def test_a_language_model_reads_its_own_words_and_carries_on_from_them():
    model, data = language_model(), StreamBatch(stream(), scheduled_sampling=0.7, dropout_seed=2)
    loss, cache = model.forward(data)
    state = model.start(data.tokens.shape[1])
    read = words_before(state, model.step, data.tokens, None, 0.7, "sample", 2)
    assert (read != data.tokens[:-1]).any()
    total = 0.0
    for t, words in enumerate(read):
        log_probs, state = model.step(state, words)
        total -= log_probs[np.arange(len(words)), data.tokens[t + 1]].sum()
    assert loss == pytest.approx(total / read.size, rel=1e-5)
    np.testing.assert_allclose(model.buffers["state.0.h"], state.layers[0][0], atol=1e-6)
    assert set(model.backward(cache)) == set(model.params)
    same, _ = model.forward(data, train=False)
    assert same == model.forward(data._replace(scheduled_sampling=0.0), train=False)[0]
