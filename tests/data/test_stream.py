"""One long stream: batches tile the text in its order, and its loss counts every word once."""

import itertools
import math

import numpy as np
import pytest

from scratchlv.data.stream import TokenStream, layout
from scratchlv.models.language_model import LanguageModel, LanguageModelConfig


@pytest.mark.parametrize("words", [2, 3, 5, 36, 37, 100, 10_000])
@pytest.mark.parametrize(("streams", "steps"), [(1, 1), (4, 35), (32, 10)])
def test_any_text_of_two_words_has_a_layout(words, streams, steps):
    n, T = layout(words, streams, steps)
    assert 1 <= n <= streams
    assert 1 <= T <= steps
    assert n * (T + 1) <= words  # each stream has T words to read, and one more to predict
    batch = TokenStream(np.arange(words)).training_batch(7, n, T, seed=0)
    assert batch.tokens.shape == (T + 1, n)


def test_a_long_text_has_the_layout_that_was_asked_for():
    assert layout(4 * 36, 4, 35) == (4, 35)
    assert layout(4 * 36 - 1, 4, 35) == (3, 35)


def test_batches_tile_each_stream_in_the_order_of_the_text():
    """Numbered words: what is read goes on by one, from step to step and from batch to batch, round the end of the text."""
    n, streams, steps = 100, 4, 5
    stream = TokenStream(np.arange(n))
    per_epoch = (n // streams - 1) // steps
    batches = [stream.training_batch(k, streams, steps, seed=3) for k in range(per_epoch)]
    read = np.concatenate([batch.tokens[:-1] for batch in batches])  # (per_epoch * steps, streams)
    assert ((np.diff(read, axis=0) % n) == 1).all()
    assert [batch.first for batch in batches] == [True] + [False] * (per_epoch - 1)
    for before, after in itertools.pairwise(batches):
        np.testing.assert_array_equal(before.tokens[-1], after.tokens[0])  # predicted there, read here
    assert len(np.unique(read)) == read.size  # no word is read twice in an epoch


def test_every_epoch_begins_anew_and_elsewhere():
    stream, per_epoch = TokenStream(np.arange(1000)), (250 - 1) // 5
    begins = [stream.training_batch(epoch * per_epoch, 4, 5, seed=3) for epoch in range(8)]
    assert all(batch.first for batch in begins)
    assert not stream.training_batch(per_epoch - 1, 4, 5, seed=3).first
    assert len({batch.tokens[0, 0] for batch in begins}) > 4
    for epoch in range(1, 8):  # the end of the text is followed by its beginning
        tokens = stream.training_batch(epoch * per_epoch, 4, 5, seed=3).tokens
        assert ((np.diff(tokens, axis=0) % 1000) == 1).all()


def test_a_batch_depends_on_the_seed_and_the_step_only():
    stream = TokenStream(np.arange(500))
    a, b = (stream.training_batch(17, 4, 5, seed=1) for _ in range(2))
    np.testing.assert_array_equal(a.tokens, b.tokens)
    assert a.dropout_seed == b.dropout_seed != stream.training_batch(18, 4, 5, seed=1).dropout_seed
    assert (a.tokens != stream.training_batch(17, 4, 5, seed=2).tokens).any()


def model(V=6, seed=0):
    return LanguageModel(LanguageModelConfig(vocabulary=V, embedding=5, hidden=7, layers=2, streams=1), seed)


def test_the_loss_is_that_of_reading_each_stream_at_once():
    """Whatever the length of the pieces: the state is carried on, and a shorter last piece weighs less."""
    m, ids = model(), np.random.default_rng(0).integers(0, 6, 3 * 23 + 2)
    columns = ids[: 3 * 23].reshape(3, 23).T
    whole, _, _ = m.read(columns, m.zero_state(3))
    for steps in (4, 7, 21):
        assert TokenStream(ids).mean_loss(m, streams=3, steps=steps) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("words", [2, 3, 11])
def test_a_model_that_knows_nothing_loses_the_logarithm_of_its_words(words):
    m = model()
    for value in m.params.values():
        value[...] = 0
    assert TokenStream(np.arange(words) % 6).mean_loss(m) == pytest.approx(math.log(6), rel=1e-6)
