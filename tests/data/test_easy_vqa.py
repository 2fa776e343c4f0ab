"""easy-VQA: a stand-in for the package, and the package itself where it is installed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scratchlv.data.daquar import Question
from scratchlv.data.easy_vqa import easy_vqa
from scratchlv.errors import UserError


def package(train: list[int], test: list[int], *, lacks: tuple[int, ...] = ()) -> SimpleNamespace:
    """As the real one: pictures are listed in any order, two questions to each."""

    def questions(images):
        return (
            ["What shape?", "is it red?"] * len(images),
            ["circle", "no"] * len(images),
            [i for i in images for _ in "qa"],
        )

    def paths(part, images):
        return {i: f"/{part}/{i}.png" for i in reversed(images) if i not in lacks}

    return SimpleNamespace(
        get_train_questions=lambda: questions(train),
        get_test_questions=lambda: questions(test),
        get_train_image_paths=lambda: paths("train", train),
        get_test_image_paths=lambda: paths("test", test),
    )


def test_the_last_tenth_of_the_pictures_validates(monkeypatch):
    monkeypatch.setitem(sys.modules, "easy_vqa", package(list(range(25)), [0, 1]))
    data = easy_vqa()
    assert {split: len(questions) for split, questions in data.splits.items()} == {"train": 46, "val": 4, "test": 4}
    assert {question.image for question in data.splits["val"]} == {Path("/train/23.png"), Path("/train/24.png")}
    assert data.splits["test"][:2] == [
        Question(Path("/test/0.png"), ["what", "shape"], "circle", ("circle",)),
        Question(Path("/test/0.png"), ["is", "it", "red"], "no", ("no",)),
    ]


def test_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(UserError, match="pip install easy-vqa"):
        easy_vqa()


def test_the_package_is_damaged(monkeypatch):
    monkeypatch.setitem(sys.modules, "easy_vqa", package(list(range(20)), [30, 31, 32], lacks=(30, 32)))
    with pytest.raises(UserError, match=r"lacks 2 pictures \(30\.png, 32\.png\); install it again"):
        easy_vqa()


def test_the_real_package():
    pytest.importorskip("easy_vqa", reason="the test extra installs easy-vqa")
    splits = easy_vqa().splits
    pictures = {split: {question.image for question in questions} for split, questions in splits.items()}
    assert {split: len(paths) for split, paths in pictures.items()} == {"train": 3600, "val": 400, "test": 1000}
    assert len(splits["train"]) + len(splits["val"]) == 38_575 and len(splits["test"]) == 9_673
    assert not pictures["train"] & pictures["val"]
    assert len({question.answer for questions in splits.values() for question in questions}) == 13
    assert all(path.is_file() for paths in pictures.values() for path in paths)
