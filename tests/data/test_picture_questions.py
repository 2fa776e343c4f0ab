"""What sets of questions about pictures have in common."""

import pytest

from scratchlv.data.picture_questions import Question, in_mirror, with_pictures
from scratchlv.errors import UserError


@pytest.fixture
def splits(tmp_path):
    (tmp_path / "val").mkdir()
    names = ["a.png", "b.png", "val/c.png"]
    for name in names:
        (tmp_path / name).touch()
    a, b, c = (Question(tmp_path / name, ["what"], "x", ("x",)) for name in names)
    return {"train": [a, b, b], "val": [c]}


def test_all_pictures_are_there(splits, tmp_path):
    assert with_pictures(splits, tmp_path, skip_missing=False) == (splits, 0, (), ())


def test_missing_pictures_are_named_or_skipped(splits, tmp_path):
    (tmp_path / "b.png").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of 3 pictures \(b\.png\); copy them there, or .*--skip-missing"):
        with_pictures(splits, tmp_path, skip_missing=False)
    assert with_pictures(splits, tmp_path, skip_missing=True, notes=("so",)) == (
        {"train": splits["train"][:1], "val": splits["val"]},
        2,
        ("so",),
        ("b.png",),
    )
    (tmp_path / "val" / "c.png").unlink()
    with pytest.raises(UserError, match="no picture that a question of val is about"):
        with_pictures(splits, tmp_path, skip_missing=True)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("what is on the left side", "what is on the right side"),
        ("left of the right door", "right of the left door"),
        ("the leftmost cup, right_hand drawer", "the rightmost cup, left_hand drawer"),
        ("rightward lefthand", "leftward righthand"),
        ("a bright cleft leftover", "a bright cleft leftover"),
        ("", ""),
    ],
)
def test_in_a_mirror_left_is_right(text, mirrored):
    assert in_mirror(text) == mirrored
    assert in_mirror(mirrored) == text
