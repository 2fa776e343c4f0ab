"""Features on disk: what is read when, and what is said when it cannot be."""

import gc
import os

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.vision.feature_store import FeatureStore, read_ahead

SHAPE = (2, 3)


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "store", SHAPE)
    with store.adding(lambda: None) as add:
        add([f"{k:032x}" for k in range(5)], rows(range(5)))
    return store


def rows(values) -> np.ndarray:
    return np.array([np.full(SHAPE, value) for value in values], np.float16)


def test_rows_are_found_by_their_checksums(store):
    assert store.rows() == {f"{k:032x}": k for k in range(5)}
    with store.adding(lambda: None) as add:
        add([f"{k:032x}" for k in (7, 9)], rows((7, 9)))
        add([f"{11:032x}"], rows([11]))
    assert [store.rows()[f"{k:032x}"] for k in (4, 7, 9, 11)] == [4, 5, 6, 7]
    np.testing.assert_array_equal(store.open(range(8)), rows((0, 1, 2, 3, 4, 7, 9, 11)))


def test_a_row_is_on_the_disk_before_its_line_is_written(store, monkeypatch):
    """A power cut may keep the length of a file and lose what was written; a line says that nothing of its row was lost."""
    sizes = []
    monkeypatch.setattr(
        os, "fsync", lambda file: sizes.append((store.file.stat().st_size, store.list_file.stat().st_size))
    )
    with store.adding(lambda: None) as add:
        add([f"{7:032x}"], rows([7]))
    assert sizes == [(6 * 12, 5 * 33), (6 * 12, 6 * 33)]


def test_a_damaged_line_is_that_of_no_picture(store):
    listed = bytearray(store.list_file.read_bytes())
    listed[40] = ord("x")
    store.list_file.write_bytes(listed)
    assert store.rows() == {f"{k:032x}": k for k in (0, 2, 3, 4)}


def test_it_is_indexed_like_an_array(store):
    features = store.open([4, 2, 0, 1])
    array = rows([4, 2, 0, 1])
    assert (features.shape, features.dtype, len(features)) == (array.shape, array.dtype, 4)
    for index in (slice(1, 3), np.array([3, 3, 0]), slice(-2, None), np.array([True, False, True, False])):
        np.testing.assert_array_equal(np.asarray(features[index]), array[index])
    np.testing.assert_array_equal(np.asarray(features[1:][np.array([2, 0])]), array[1:][[2, 0]])
    assert np.asarray(features[:0]).shape == (0, *SHAPE)
    assert np.asarray(features, np.float32).dtype == np.float32
    with pytest.raises(IndexError):
        features[np.array([4])]


def test_an_index_reads_nothing(store):
    features = store.open([0, 1])
    before = features[:1]
    with open(store.file, "r+b") as file:
        file.write(rows([8]).tobytes())
    np.testing.assert_array_equal(before, rows([8]))


def test_a_file_that_was_cut_off_is_named(store):
    features = store.open([0, 4])
    os.truncate(store.file, 5 * 12 - 1)
    np.testing.assert_array_equal(features[:1], rows([0]))
    with pytest.raises(UserError, match=r"features\.f16 cannot be read any more \(it was cut off\); start again"):
        np.asarray(features)


def test_the_file_is_closed_with_the_last_that_reads_it(store):
    features = store.open([0, 1])
    descriptor = features._file.fileno()
    part = features[1:]
    del features
    np.testing.assert_array_equal(part, rows([1]))
    del part
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(descriptor)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice")
def test_what_is_read_ahead_is_what_will_be_read(store, monkeypatch):
    advised = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, at, size, advice: advised.append((at, size, advice)))
    read_ahead(store.open([4, 2, 0]), np.array([2, 0]))
    assert advised == [(row * 12, 12, os.POSIX_FADV_WILLNEED) for row in (0, 4)]
    read_ahead(rows([1, 2]), np.array([0]))
    assert len(advised) == 2


def test_where_no_advice_is_taken_none_is_given(store, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    read_ahead(store.open([0, 1]), np.array([0]))
