"""DAQUAR's files, whole and damaged."""

import gzip
from pathlib import Path

import pytest

from scratchlv.data.daquar import daquar
from scratchlv.data.picture_questions import Question
from scratchlv.errors import UserError

N = 40  # pictures, with two questions each


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    lines = []
    for i in range(1, N + 1):
        (tmp_path / "images" / f"image{i}.jpg").touch()
        lines += [f"what is on the desk in the image{i} ?", f"book{i}, cup", f"how many chairs in the image{i} ?", "2"]
    (tmp_path / "qa.train.txt").write_text("".join(line + "\n" for line in lines))
    return tmp_path


def append(folder: Path, *lines: str) -> None:
    with open(folder / "qa.train.txt", "a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def images_of(questions: list[Question]) -> set[str]:
    return {question.image.name for question in questions}


def test_questions(folder):
    data = daquar(str(folder))
    everything = data.splits["train"] + data.splits["val"]
    assert (len(everything), data.skipped, set(data.splits)) == (2 * N, 0, {"train", "val"})
    image = folder / "images" / "image7.jpg"
    assert [question for question in everything if question.image == image] == [
        Question(image, ["what", "is", "on", "the", "desk"], "book7, cup", ("book7", "cup")),
        Question(image, ["how", "many", "chairs"], "2", ("2",)),
    ]


def test_all_questions_of_a_picture_are_in_one_split(folder):
    splits = daquar(folder).splits
    train, val = images_of(splits["train"]), images_of(splits["val"])
    assert not train & val
    assert len(train) + len(val) == N and 0 < len(val) < N / 4


def test_empty_lines_at_the_end(folder):
    append(folder, "", " ", "")
    assert sum(map(len, daquar(folder).splits.values())) == 2 * N


def test_what_else_is_there_decides_no_split(folder):
    val = images_of(daquar(folder).splits["val"])
    (folder / "qa.train.txt").write_text(
        "\n".join((folder / "qa.train.txt").read_text("utf-8").splitlines()[N:])
    )  # the later half
    assert images_of(daquar(folder).splits["val"]) == {name for name in val if int(name[5:-4]) > N / 4}


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("what is in the image3 close to the wall in the image3 ?", "what is in the image close to the wall"),
        ("what is the largest brown objects in this image3 ?", "what is the largest brown objects"),
        ("how many chairs are there on the image3 ?", "how many chairs are there"),
        ("what is on the left side of the image3 ?", "what is on the left side"),
        ("what is on the table image3 ?", "what is on the table"),
        ("What colour is the Chair in image3?", "what colour is the chair"),
    ],
)
def test_the_name_of_the_picture_is_no_part_of_the_question(folder, question, words):
    append(folder, question, "table")
    splits = daquar(folder).splits
    assert [q.words for q in splits["train"] + splits["val"] if q.answer == "table"] == [words.split()]


def test_the_official_test_file(folder):
    (folder / "qa.test.txt").write_text("what is red in the image3 ?\nlamp\n")
    splits = daquar(folder).splits
    assert splits["test"] == [Question(folder / "images" / "image3.jpg", ["what", "is", "red"], "lamp", ("lamp",))]


def test_another_layout(folder):
    for file in (folder / "images").iterdir():
        file.rename(file.with_suffix(".PNG"))
    (folder / "images").rename(folder / "nyu_depth_images")
    assert images_of(daquar(folder).splits["val"]) <= {f"image{i}.PNG" for i in range(N + 1)}


@pytest.mark.parametrize("packed", [True, False])
def test_the_names_under_which_it_is_distributed(folder, packed):
    text = (folder / "qa.train.txt").read_bytes()
    (folder / "qa.train.txt").unlink()
    pack, suffix = (gzip.compress, ".gz") if packed else (bytes, "")
    (folder / f"qa.894.raw.train.txt{suffix}").write_bytes(pack(text))
    (folder / f"qa.894.raw.test.txt{suffix}").write_bytes(pack(text))
    splits = daquar(folder).splits
    assert len(splits["train"] + splits["val"]) == len(splits["test"]) == 2 * N
    (folder / "qa.37.raw.train.txt").write_bytes(text[: len(text) // 2 // 10 * 10].rpartition(b"what")[0])
    with pytest.raises(
        UserError, match=r"has qa\.37\.raw\.train\.txt and qa\.894.*; give one, as daquar:.*qa\.37\.raw\.train\.txt"
    ):
        daquar(folder)
    few = daquar(folder / "qa.37.raw.train.txt").splits
    assert "test" not in few and 0 < len(few["train"]) < 2 * N
    assert daquar(folder / f"qa.894.raw.train.txt{suffix}").splits == splits


def test_missing_pictures_are_named_or_skipped(folder):
    for i in (31, 4, 17, 8):
        (folder / "images" / f"image{i}.jpg").unlink()
    with pytest.raises(
        UserError, match=r"images lacks 4 of 40 pictures \(image4, image8, image17, …\); .*--skip-missing"
    ):
        daquar(folder)
    data = daquar(folder, skip_missing=True)
    assert data.skipped == 8
    assert len(data.splits["train"] + data.splits["val"]) == 2 * N - 8
    assert not {"image4.jpg", "image31.jpg"} & images_of(data.splits["train"] + data.splits["val"])


def test_nothing_is_left(folder):
    for file in (folder / "images").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"qa\.train\.txt leaves no question with a picture for train"):
        daquar(folder, skip_missing=True)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["what is red in the image3 ?"], " has 161 lines, an odd number"),
        (["what is red ?", "lamp"], " line 161: the question names no picture"),
        (["", "what is red in the image3 ?"], " line 161: the question names no picture"),
        (["what is red in the image3 ?", "", "what is blue in the image3 ?", "lamp"], " line 162: expected an answer"),
        (["what in the image3 is in the image4 ?", "lamp"], " line 161: the question names 2 pictures"),
        (["in the image3 ?", "lamp"], " line 161: a question without words"),
        (["what is red in the image3 ?", " , "], " line 162: expected an answer"),
    ],
)
def test_malformed_lines(folder, lines, message):
    append(folder, *lines)
    with pytest.raises(UserError, match=r"qa\.train\.txt" + message):
        daquar(folder)


def test_missing_parts(folder):
    with pytest.raises(UserError, match="nowhere is not a folder"):
        daquar(folder / "nowhere")
    (folder / "qa.train.txt").rename(folder / "qa.txt")
    with pytest.raises(UserError, match=r"has no qa\.train\.txt or qa\.37\.raw\.train\.txt or qa\.894"):
        daquar(folder)
    (folder / "qa.txt").rename(folder / "qa.train.txt")
    (folder / "images").rename(folder / "photos")
    with pytest.raises(UserError, match="no folder of pictures"):
        daquar(folder)


def test_the_real_set(public_set):
    folder = public_set("daquar")
    data = daquar(folder)
    train, val = data.splits["train"], data.splits["val"]
    assert len(train) + len(val) == 6_795 and data.skipped == 0
    assert 0.05 < len(images_of(val)) / 795 < 0.15
    known = set((folder / "answer_space.txt").read_text(encoding="utf-8").split())
    assert all(answer in known for question in train + val for answer in question.answers)
    assert not any(word.startswith("image") and word[5:].isdecimal() for q in train + val for word in q.words)
