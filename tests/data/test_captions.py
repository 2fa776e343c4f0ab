"""Pictures with captions: batches, the blind twin's pictures, drawing in parallel."""

from dataclasses import replace

import numpy as np
import pytest

from scratchlv.data import captions
from scratchlv.data.captions import CaptionSet
from scratchlv.data.vocabulary import Vocabulary
from scratchlv.tokens import END, START
from scratchlv.vision.feature_store import FeatureStore


@pytest.fixture
def data():
    vocabulary = Vocabulary(["a", "b", "c"])
    captions = [[4], [4, 5], [4, 5, 6], [5], [6], [6, 5], [5, 5, 5]]
    pictures = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    return CaptionSet(pictures, captions, np.array([0, 0, 1, 1, 2, 2, 3]), vocabulary, list("wxyz"))


def test_a_batch_is_time_major_with_both_symbols(data):
    batch = data.batch(np.array([0, 2]))
    assert batch.tokens.T.tolist() == [[START, 4, END, 0, 0], [START, 4, 5, 6, END]]
    assert batch.lengths.tolist() == [2, 4]  # predictions: the words and the end
    np.testing.assert_array_equal(batch.pictures, data.pictures[[0, 1]])


def test_every_caption_comes_once_an_epoch_and_the_order_changes(data):
    def sentences(epoch):
        batches = [data.training_batch(2 * epoch + k, size=3, seed=5) for k in range(2)]
        return [tuple(column) for b in batches for column in b.tokens[1:].T.tolist()]

    assert len({tuple(t for t in s if t) for s in sentences(0)}) == 6
    assert sentences(0) == sentences(0)
    assert sentences(0) != sentences(1)


def test_a_batch_is_a_function_of_its_step(data):
    a, b = (data.training_batch(11, size=4, seed=1) for _ in range(2))
    assert a.tokens.tobytes() == b.tokens.tobytes()
    assert a.dropout_seed == b.dropout_seed
    assert a.dropout_seed != data.training_batch(12, size=4, seed=1).dropout_seed


def test_a_batch_larger_than_the_set_is_the_set(data):
    assert data.training_batch(0, size=100, seed=0).tokens.shape[1] == 7


def test_the_blind_twin_never_gets_its_own_picture(data):
    blind = data.blind()
    assert blind.captions is data.captions
    assert (blind.picture_of != data.picture_of).all()
    assert set(blind.picture_of) == set(data.picture_of)


def test_the_mean_loss_counts_every_word_alike(data):
    class Model:
        def forward(self, batch, train):
            assert not train
            return float(batch.lengths.mean()), None

    lengths = np.array([len(c) + 1 for c in data.captions])
    assert data.mean_loss(Model(), size=1) == pytest.approx((lengths**2).sum() / lengths.sum())
    assert data.mean_loss(Model(), size=1, most=2) == pytest.approx((4 + 9) / 5)


def test_pictures_on_disk_make_the_batches_that_they_make_in_memory(data, tmp_path, monkeypatch):
    """The order does not know where they are; and those of the next batch are asked for while this one is worked on."""
    ahead = []
    monkeypatch.setattr(captions, "read_ahead", lambda pictures, rows: ahead.append(pictures[rows]))
    store = FeatureStore(tmp_path, (2, 2, 3))
    in_memory = replace(data, pictures=data.pictures.astype(np.float16))
    with store.adding(lambda: None) as add:
        add([f"{k:032x}" for k in range(4)], in_memory.pictures)
    on_disk = replace(data, pictures=store.open(range(4)))
    for step in range(5):
        a, b = (each.training_batch(step, size=3, seed=5) for each in (in_memory, on_disk))
        assert a.tokens.tobytes() == b.tokens.tobytes()
        assert a.pictures.tobytes() == b.pictures.tobytes()
        assert isinstance(b.pictures, np.ndarray)
        np.testing.assert_array_equal(ahead[-3] if step else b.pictures, b.pictures)  # -1 and -2 are of this step


def test_half_of_what_is_trained_on_is_seen_in_a_mirror(data):
    """A picture and its mirror image are alike but for the side; coins are a batch's own, and validation has none."""
    both = replace(data, mirrored=255 - data.pictures)
    seen = []
    for step in range(200):
        batch, plain = (each.training_batch(step, size=4, seed=3) for each in (both, data))
        assert batch.tokens.tobytes() == plain.tokens.tobytes()
        mirrored = (batch.pictures == 255 - plain.pictures).all(axis=(1, 2, 3))
        assert ((batch.pictures == plain.pictures).all(axis=(1, 2, 3)) ^ mirrored).all()
        seen.append(mirrored)
    assert np.mean(seen) == pytest.approx(0.5, abs=0.09)  # of 800 coins; the deviation is 0.018
    assert len({tuple(coins) for coins in seen}) == 16
    again = both.training_batch(7, size=4, seed=3)
    assert again.pictures.tobytes() == both.training_batch(7, size=4, seed=3).pictures.tobytes()
    np.testing.assert_array_equal(both.batch(np.arange(7)).pictures, data.batch(np.arange(7)).pictures)


def test_captions_of_about_one_length_stand_side_by_side(data):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 20, 400)
    many = replace(data, captions=[[4 + k % 3] * n for k, n in enumerate(lengths)], picture_of=np.arange(400) % 4)
    alike = replace(many, by_length=True)

    def words(each, step):
        return each.training_batch(step, size=10, seed=1).lengths

    assert (
        np.mean([np.ptp(words(alike, k)) for k in range(40)])
        < 2
        < 10
        < np.mean([np.ptp(words(many, k)) for k in range(40)])
    )
    for epoch in range(2):
        said = np.sort(np.concatenate([words(alike, 40 * epoch + k) for k in range(40)]))
        np.testing.assert_array_equal(said, np.sort(lengths + 1))  # every caption once
    assert [words(alike, k).tolist() for k in range(40)] != [words(alike, 40 + k).tolist() for k in range(40)]
