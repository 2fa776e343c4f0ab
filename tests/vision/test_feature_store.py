"""Features on disk: what is read when, and what is said when it cannot be."""

import errno
import gc
import os

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.vision import feature_store
from scratchlv.vision.feature_store import FeatureStore, read_ahead

SHAPE = (2, 3)
ID = "0123456789abcdef0123456789abcdef"


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
    sizes, files = [], (store.file, store.sum_file, store.list_file)
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(tuple(file.stat().st_size for file in files)))
    with store.adding(lambda: None) as add:
        add([f"{7:032x}"], rows([7]))
    assert sizes == [(6 * 12, 5 * 8, 5 * 33), (6 * 12, 6 * 8, 5 * 33), (6 * 12, 6 * 8, 6 * 33)]


def test_a_damaged_line_is_that_of_no_picture(store):
    listed = bytearray(store.list_file.read_bytes())
    listed[40] = ord("x")
    store.list_file.write_bytes(listed)
    assert store.rows() == {f"{k:032x}": k for k in (0, 2, 3, 4)}


def flip(path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["file", "sum_file"])
@pytest.mark.parametrize("at", [24, 27, 29])
def test_a_row_of_which_a_bit_has_changed_is_made_anew_and_written_again(store, file, at):
    at = at if file == "file" else 2 * 8 + at % 8
    flip(getattr(store, file), at)
    asked = []

    def remake(checksum):
        asked.append(checksum)
        return rows([2])[0]

    for _ in range(2):
        features = store.open([0, 2, 4, 2], remake)
        for _ in range(2):
            np.testing.assert_array_equal(features, rows([0, 2, 4, 2]))
    assert asked == [f"{2:032x}"]


def test_a_damaged_row_that_cannot_be_written_again_is_made_anew_once(store, monkeypatch):
    flip(store.file, 24)
    asked = []

    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(feature_store, "_overwrite", read_only)
    features = store.open([2, 1], lambda checksum: asked.append(checksum) or rows([2])[0])
    for _ in range(2):
        np.testing.assert_array_equal(features, rows([2, 1]))
    assert asked == [f"{2:032x}"]


def test_a_damaged_row_that_nobody_can_make_anew_is_refused(store):
    flip(store.file, 24)
    with pytest.raises(UserError, match=r"features\.f16 is damaged in row 2; delete .*store"):
        np.asarray(store.open([0, 1, 2]))


@pytest.mark.parametrize("values", [6, 8, 21])
def test_the_sum_of_a_row_changes_with_every_bit_and_with_neighbouring_ones(values):
    rng = np.random.default_rng(values)
    row = rng.standard_normal((1, values)).astype(np.float16)
    (before,) = feature_store._sums(row, [ID])
    for bits in (1, 2, 17, 32):
        for at in range(16 * values - bits + 1):
            change = np.zeros(16 * values, np.uint8)
            change[at : at + bits] = rng.integers(0, 2, bits)
            change[[at, at + bits - 1]] = 1
            other = row.view(np.uint8) ^ np.packbits(change, bitorder="little")
            assert feature_store._sums(other.view(np.float16), [ID]) != before, (bits, at)


def test_sums_are_those_of_the_definition_and_stay_what_they_are():
    row = np.arange(5, dtype=np.float16)[None]
    m = [int(each) for each in np.random.PCG64(20261130).random_raw(6) | np.uint64(1)]
    padded = ID.encode() + row.tobytes() + bytes(6)
    words = [int.from_bytes(padded[k : k + 8], "little") for k in range(0, len(padded), 8)]
    right = sum(a * b for a, b in zip(m, words, strict=True)) % 2**64
    assert feature_store._sums(row, [ID]).tolist() == [right]
    assert right == 5539489471322091024  # of caches that exist


def test_rows_that_changed_places_are_found(store):
    content = store.file.read_bytes()
    store.file.write_bytes(content[12:24] + content[:12] + content[24:])
    features = store.open([0, 1], lambda checksum: rows([int(checksum, 16)])[0])
    np.testing.assert_array_equal(features, rows([0, 1]))


def test_a_cache_from_before_there_were_sums_is_taken_as_it_is_and_guarded_from_then_on(store):
    store.sum_file.unlink()
    np.testing.assert_array_equal(store.open([3]), rows([3]))
    assert store.lacks_sums()
    with store.adding(lambda: None) as add:
        add([f"{5:032x}"], rows([5]))
    assert store.lacks_sums()
    store.note_sums(lambda: None)
    assert not store.lacks_sums()
    flip(store.file, 24)
    with pytest.raises(UserError, match="row 2"):
        np.asarray(store.open(range(6)))


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
    np.asarray(features)  # checked, and so not again
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
    descriptor = features._source.file.fileno()
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
