"""The cache of features, with an extractor that counts what it is asked for."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

from scratchlv.errors import UserError
from scratchlv.vision import feature_store
from scratchlv.vision import features as module
from scratchlv.vision.features import cache_folder, extract


class Mean:
    """The mean colour, as features of shape (1, 1, 3)."""

    name = "mean"
    size = (6, 5)
    crop = None
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
    monkeypatch.setattr(module, "_BATCH", 3)
    monkeypatch.setattr(module, "_GROUP", 4)


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
    assert features.shape == (11, 1, 1, 3)
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
        extract(photos, Mean(fail_at=9), cache)  # three batches of three, and a part of the fourth
    second = Mean()
    features = extract(photos, second, cache)
    assert second.computed == 2
    assert np.array_equal(features, colours(range(11)))


def stored(cache) -> dict[str, bytes]:
    """What an undisturbed extraction leaves behind, or should have: all files but their place."""
    return {path.name: path.read_bytes() for path in cache.glob("mean-*/*")}


@pytest.mark.parametrize("cut", [0, 1, 5, 6, 7, 40])
@pytest.mark.parametrize("name", ["features.f16", "rows.txt"])
def test_whenever_it_was_killed_it_goes_on_to_the_same_bits(photos, cache, name, cut):
    """Features are written before their lines: at a kill both files are whole up to some row, and anything is behind it."""
    extract(photos, Mean(), cache)
    whole = stored(cache)
    (file,) = cache.glob(f"mean-*/{name}")
    file.write_bytes(whole[name][: -cut or None])
    second = Mean()
    assert np.array_equal(extract(photos, second, cache), colours(range(11)))
    assert second.computed == -(-cut // {"features.f16": 6, "rows.txt": 33}[name])
    assert stored(cache) == whole


SLOW = """
import sys, time
from tests.vision.test_features import Mean
from scratchlv.vision import features

class Slow(Mean):
    def features(self, images):
        if self.computed:
            time.sleep(float(sys.argv[1]))
        return super().features(images)

features._BATCH = 3
features.extract(sys.argv[3:], Slow(), sys.argv[2])
"""


def another_process(photos, cache, seconds: float) -> subprocess.Popen:
    """It takes so long for each batch but the first, which is there already."""
    command = [sys.executable, "-c", SLOW, str(seconds), str(cache), *map(str, photos)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    while process.poll() is None and not stored(cache).get("rows.txt"):
        time.sleep(0.01)
    return process


def test_kill_9(photos, cache, tmp_path):
    extract(photos, Mean(), tmp_path / "undisturbed")
    process = another_process(photos, cache, 60)
    process.kill()
    process.wait()
    assert len(stored(cache)["rows.txt"]) == 3 * 33
    extract(photos, Mean(), cache)
    assert stored(cache) == stored(tmp_path / "undisturbed")


def test_a_process_that_finds_another_at_work_waits_for_it(photos, cache):
    """Its progress is the other's."""
    process = another_process(photos, cache, 0.1)
    idle, seen = Mean(), []
    assert np.array_equal(extract(photos, idle, cache, lambda done, total: seen.append(done)), colours(range(11)))
    assert idle.computed == 0
    assert seen == sorted(seen)
    assert process.wait() == 0


def test_two_sets_share_what_they_have_in_common(photos, cache):
    extract(photos[:7], Mean(), cache)
    extract(photos[3:], Mean(), cache)
    assert len(stored(cache)["features.f16"]) == 11 * 6
    assert set(stored(cache)) == {"features.f16", "rows.sum", "rows.txt"}


@pytest.mark.parametrize("damage", ["no array", "cut list", "other list", "no list", "text"])
def test_damaged_files_are_made_anew(photos, cache, damage):
    extract(photos, Mean(), cache)
    (array,), (listed,) = cache.glob("mean-*/features.f16"), cache.glob("mean-*/rows.txt")
    match damage:
        case "no array":
            array.unlink()
        case "cut list":
            listed.write_bytes(listed.read_bytes()[9:])
        case "other list":
            listed.write_text('["x", 3]')
        case "no list":
            listed.unlink()
        case "text":
            array.write_text("hello")
    second = Mean()
    assert np.array_equal(extract(photos[:10], second, cache), colours(range(10)))
    assert second.computed == 10


@pytest.mark.parametrize("at", [0, 5 * 6 + 3, 11 * 6 - 1])
def test_a_picture_of_which_the_disk_changed_the_features_gets_them_anew(photos, cache, at):
    extract(photos, Mean(), cache)
    whole = stored(cache)
    (array,) = cache.glob("mean-*/features.f16")
    content = bytearray(array.read_bytes())
    content[at] ^= 1
    array.write_bytes(content)
    second = Mean()
    assert np.array_equal(extract(photos, second, cache), colours(range(11)))
    assert second.computed == 1
    assert stored(cache) == whole


def test_a_cache_from_before_there_were_sums_gets_them(photos, cache):
    extract(photos, Mean(), cache)
    whole = stored(cache)
    (sums,) = cache.glob("mean-*/rows.sum")
    sums.unlink()
    second = Mean()
    assert np.array_equal(extract(photos, second, cache), colours(range(11)))
    assert second.computed == 0
    assert stored(cache) == whole


def test_no_space_for_the_features_is_said_before_they_are_made(photos, cache, monkeypatch):
    extract(photos[:4], Mean(), cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: namedtuple("Usage", "free")(41))
    extract(photos[:4], Mean(), cache)
    second = Mean()
    with pytest.raises(
        UserError, match=r"features of 7 pictures take 0.0 MB, and the disk of .* 0.0 MB free; .*SCRATCHLV_CACHE"
    ):
        extract(photos, second, cache)
    assert second.computed == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: namedtuple("Usage", "free")(42))
    assert np.array_equal(extract(photos, second, cache), colours(range(11)))


def test_a_disk_that_fills_up_on_the_way_is_one_sentence_and_nothing_is_lost(photos, cache, monkeypatch):
    class Filling(Mean):
        def features(self, images):
            if self.computed:
                monkeypatch.setattr(os, "fsync", full)
            return super().features(images)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"disk of .*cache is full.*11 pictures.*; free some space and start again"):
        extract(photos, Filling(), cache)
    monkeypatch.undo()
    monkeypatch.setattr(module, "_BATCH", 3)
    second = Mean()
    assert np.array_equal(extract(photos, second, cache), colours(range(11)))
    assert second.computed == 8


def test_a_checksum_of_a_picture_that_is_damaged_in_its_list_is_made_again(photos, cache):
    extract(photos, Mean(), cache)
    noted = cache / "pictures.jsonl"
    lines = noted.read_text().splitlines()
    noted.write_text(
        "\n".join(line[:-5] + "j" + line[-4:] if "3.png" in line else line for line in lines) + "\n" + "[" * 9999
    )
    second = Mean()
    assert np.array_equal(extract(photos, second, cache), colours(range(11)))
    assert second.computed == 0


@pytest.mark.parametrize("content", ["", "[1]\n", '{"a": 1}', "\0", '["/x", 1, 2, 3]\n', "[[], 1, 2, 3]\n"])
def test_a_damaged_list_of_pictures_is_made_anew(photos, cache, content):
    extract(photos, Mean(), cache)
    (cache / "pictures.jsonl").write_text(content)
    second = Mean()
    assert np.array_equal(extract(photos, second, cache), colours(range(11)))
    assert second.computed == 0, "the contents are the same"


def test_half_a_line_of_the_list_of_pictures_spoils_no_other(photos, cache):
    extract(photos[:4], Mean(), cache)
    with open(cache / "pictures.jsonl", "a") as noted:
        noted.write('["/a", 12, ')
    extract(photos, Mean(), cache)
    assert len(module._read_known(cache / "pictures.jsonl")) == 11


def test_a_cache_that_cannot_be_written_serves_what_it_has(photos, cache, monkeypatch):
    extract(photos, Mean(), cache)
    for photo in photos:
        os.utime(photo, ns=(1, 1))  # read again, and cannot be noted

    def read_only(path, mode="r", *arguments, **more):
        if set(mode) & set("wax+"):
            raise OSError(errno.EROFS, "Read-only file system")
        return open(path, mode, *arguments, **more)

    monkeypatch.setattr(module, "open", read_only, raising=False)
    monkeypatch.setattr(feature_store, "open", read_only, raising=False)
    assert np.array_equal(extract(photos, Mean(), cache), colours(range(11)))


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
    assert (tmp_path / "mine" / "pictures.jsonl").is_file()
    monkeypatch.delenv("SCRATCHLV_CACHE")
    assert cache_folder().parts[-2:] == (".cache", "scratchlv")


@pytest.mark.parametrize("what", ["removed", "changed"])
def test_a_folder_that_changes_meanwhile(photos, cache, monkeypatch, what):
    """Between the listing, which makes the checksums, and the decoding: no picture gets the features of another."""
    listed = module._digests

    def and_then(paths, known):
        digests = listed(paths, known)
        status = photos[4].stat()
        if what == "removed":
            photos[4].unlink()
        else:  # of the same size and time, as a copy that keeps them has
            content = photos[5].read_bytes()
            photos[4].write_bytes(content + bytes(status.st_size - len(content)))
            os.utime(photos[4], ns=(status.st_atime_ns, status.st_mtime_ns))
        return digests

    monkeypatch.setattr(module, "_digests", and_then)
    said = "was there when the pictures were listed, and is gone" if what == "removed" else "was changed while features"
    with pytest.raises(UserError, match=rf"4\.png {said}.*; start again when nothing writes there"):
        extract(photos, Mean(), cache)
    monkeypatch.setattr(module, "_digests", listed)
    left = photos[:4] + photos[5:] if what == "removed" else photos
    values = [0, 1, 2, 3, *([] if what == "removed" else [5]), *range(5, 11)]
    assert np.array_equal(extract(left, Mean(), cache), colours(values))


def test_pictures_that_were_drawn(cache):
    drawn = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (7, 8, 7, 9)])
    first = Mean()
    assert np.array_equal(np.asarray(extract(drawn, first, cache))[:, 0, 0, 0], [7, 8, 7, 9])
    assert first.computed == 3  # each content once
    again = Mean()
    assert np.array_equal(np.asarray(extract(drawn[::-1], again, cache))[:, 0, 0, 0], [9, 7, 8, 7])
    assert again.computed == 0
