"""What sets of photographs have in common."""

import pytest

from scratchlv.data.photographs import Photographs, parts, present_in


@pytest.mark.parametrize(
    ("n", "sizes"),
    [
        (1, {"val": 1}),
        (2, {"train": 1, "val": 1}),
        (3, {"train": 1, "val": 1, "test": 1}),
        (100, {"train": 80, "val": 10, "test": 10}),
    ],
)
def test_parts_are_a_tenth_each_and_at_least_one(n, sizes):
    found = parts(f"{i}.jpg" for i in range(n))
    assert {part: len(names) for part, names in found.items()} == sizes
    assert sorted(sum(found.values(), [])) == sorted(f"{i}.jpg" for i in range(n))


def test_parts_are_always_the_same():
    """What a set is cut into is part of every figure that was ever measured on it."""
    found = parts([f"{i}.jpg" for i in reversed(range(30))] * 2)
    assert found["val"] == ["18.jpg", "27.jpg", "6.jpg"]
    assert found["test"] == ["10.jpg", "11.jpg", "19.jpg"]


def test_present_files_are_found_in_folders_below(tmp_path):
    (tmp_path / "train2014").mkdir()
    for name in ("a.jpg", "train2014/b.jpg"):
        (tmp_path / name).touch()
    names = ["a.jpg", "b.jpg", "train2014/b.jpg", "val2014/c.jpg"]
    assert present_in(tmp_path, names) & set(names) == {"a.jpg", "train2014/b.jpg"}


def test_pictures_have_no_numbers_unless_a_reader_has_them():
    assert Photographs().image_ids("val") == {}
