"""The cache of features, with an extractor that counts what it is asked for."""

import os

import numpy as np
import pytest
from PIL import Image

from scratchlv.errors import UserError
from scratchlv.vision import features as module
from scratchlv.vision.features import cache_folder, extract


class Mean:
    """The mean colour, as features of shape (1, 1, 3)."""

    name = "mean"
    size = (6, 5)
    shape = (1, 1, 3)

    def __init__(self, checksum="a" * 32, fail_at=None):
        self.checksum, self.fail_at = checksum, fail_at
        self.computed = 0

    def features(self, images):
        assert images.dtype == np.uint8
        assert images.shape[1:] == (6, 5, 3)
        if self.fail_at is not None and self.computed + len(images) > self.fail_at:
            raise KeyboardInterrupt
        self.computed += len(images)
        return images.mean((1, 2), keepdims=True)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(module, "_SHARD", 4)
    monkeypatch.setattr(module, "_BATCH", 3)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def paint(path, value: int):
    Image.new("RGB", (8, 7), (value, 2 * value, 250 - value)).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    return [paint(tmp_path / f"{i}.png", i) for i in range(11)]


def colours(values) -> np.ndarray:
    return np.array([[[[v, 2 * v, 250 - v]]] for v in values], np.float16)


def test_features_in_the_order_of_the_paths(photos, cache):
    features = extract(photos[::-1], Mean(), cache)
    assert features.dtype == np.float16
    assert isinstance(features, np.memmap)
    assert not features.flags.writeable
    assert np.array_equal(features, colours(range(10, -1, -1)))


def test_nothing_is_computed_twice(photos, cache):
    first = Mean()
    extract(photos, first, cache)
    assert first.computed == 11
    again = Mean()
    features = extract(photos, again, cache)
    some = extract([str(photos[7]), photos[2]], again, cache)
    assert again.computed == 0
    assert np.array_equal(features, colours(range(11)))
    assert np.array_equal(some, colours([7, 2]))


def test_only_new_and_changed_pictures_are_computed(tmp_path, photos, cache):
    extract(photos, Mean(), cache)
    paint(photos[3], 77)
    os.utime(photos[3], ns=(1, 1))
    added = paint(tmp_path / "new.png", 88)
    second = Mean()
    features = extract([*photos, added], second, cache)
    assert second.computed == 2
    assert np.array_equal(features, colours([0, 1, 2, 77, 4, 5, 6, 7, 8, 9, 10, 88]))


def test_a_moved_or_touched_picture_keeps_its_features(tmp_path, photos, cache):
    extract(photos, Mean(), cache)
    moved = photos[5].rename(tmp_path / "moved.png")
    os.utime(photos[6], ns=(1, 1))
    second = Mean()
    assert np.array_equal(extract([moved, photos[6]], second, cache), colours([5, 6]))
    assert second.computed == 0


def test_equal_pictures_are_computed_once(photos, cache):
    extractor = Mean()
    features = extract([photos[1], photos[2], photos[1]], extractor, cache)
    assert extractor.computed == 2
    assert np.array_equal(features, colours([1, 2, 1]))


def test_other_weights_compute_anew(photos, cache):
    extract(photos, Mean(), cache)
    other = Mean(checksum="b" * 32)
    extract(photos, other, cache)
    assert other.computed == 11


def test_what_was_done_before_an_interruption_is_kept(photos, cache):
    with pytest.raises(KeyboardInterrupt):
        extract(photos, Mean(fail_at=9), cache)  # two shards of four, and a part of the third
    second = Mean()
    features = extract(photos, second, cache)
    assert second.computed == 3
    assert np.array_equal(features, colours(range(11)))
    assert len(list(cache.glob("mean-*/*.npy"))) == 1, "the shards are gone"


@pytest.mark.parametrize("damage", ["cut array", "no array", "cut list", "other list", "no list", "text"])
def test_a_damaged_block_is_computed_anew(photos, cache, damage):
    extract(photos, Mean(), cache)
    (array,), (listed,) = cache.glob("mean-*/*.npy"), cache.glob("mean-*/*.json")
    match damage:
        case "cut array":
            array.write_bytes(array.read_bytes()[:-1])
        case "no array":
            array.unlink()
        case "cut list":
            listed.write_bytes(listed.read_bytes()[:-9])
        case "other list":
            listed.write_text('["x", 3]')
        case "no list":
            listed.unlink()
        case "text":
            array.write_text("hello")
    second = Mean()
    assert np.array_equal(extract(photos[:10], second, cache), colours(range(10)))
    assert second.computed == 10


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', "\0"])
def test_a_damaged_list_of_pictures_is_made_anew(photos, cache, content):
    extract(photos, Mean(), cache)
    (cache / "pictures.json").write_text(content)
    second = Mean()
    assert np.array_equal(extract(photos, second, cache), colours(range(11)))
    assert second.computed == 0, "the contents are the same"


def test_progress_counts_up_to_the_total(photos, cache):
    seen = []
    extract(photos[:5], Mean(), cache)
    extract(photos, Mean(), cache, lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[0] == (5, 11)
    assert seen[-1] == (11, 11)
    assert {total for _, total in seen} == {11}


def test_no_pictures(cache):
    assert extract([], Mean(), cache).shape == (0, 1, 1, 3)


def test_a_picture_that_cannot_be_read_is_named(tmp_path, photos, cache):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"bad\.jpg is no picture"):
        extract([*photos, tmp_path / "bad.jpg"], Mean(), cache)
    with pytest.raises(UserError, match=r"none\.jpg does not exist"):
        extract([tmp_path / "none.jpg"], Mean(), cache)
    with pytest.raises(UserError, match="cannot be read"):
        extract([tmp_path], Mean(), cache)


def test_features_that_are_not_numbers_are_refused(photos, cache):
    class Broken(Mean):
        def features(self, images):
            return super().features(images) * [1, np.nan, 1]

    with pytest.raises(UserError, match=r"NaN or infinity for .*0\.png"):
        extract(photos, Broken(), cache)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, photos):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cache folder .*file.* SCRATCHLV_CACHE"):
        extract(photos, Mean(), tmp_path / "file" / "cache")


def test_the_default_folder(monkeypatch, tmp_path, photos):
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    extract(photos[:1], Mean())
    assert (tmp_path / "mine" / "pictures.json").is_file()
    monkeypatch.delenv("SCRATCHLV_CACHE")
    assert cache_folder().parts[-2:] == (".cache", "scratchlv")
