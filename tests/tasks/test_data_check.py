"""What is found in a set of data, and what is wrong with it."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from scratchlv.errors import UserError
from scratchlv.tasks import data_check

CAPTIONS = {
    "a.png": ["A dog runs", "A dog runs", "A very long caption of a dog that runs"],
    "b.png": ["A cat sleeps"],
    "c.png": ["A dog runs", "Zebras"],
    "d.png": ["A bird"],
}
SPLITS = {"a.png": "train", "b.png": "train", "c.png": "val", "d.png": "test"}


@pytest.fixture
def karpathy(tmp_path):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for name in CAPTIONS:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / "images" / name)
    images = [{"filename": n, "split": SPLITS[n], "sentences": [{"raw": c} for c in cs]} for n, cs in CAPTIONS.items()]
    (tmp_path / "dataset.json").write_text(json.dumps({"images": images}))
    return tmp_path, f"karpathy:{tmp_path / 'dataset.json'}:{tmp_path / 'images'}"


def check(data):
    _, contents = data_check.read(data)
    found = data_check.figures(contents, data_check.look_at(contents, show_progress=False))
    json.dumps(found)
    return found, data_check.lines(found, contents)


def test_captions_are_counted(karpathy):
    found, lines = check(karpathy[1])
    assert found["splits"]["train"] == {"pictures": 2, "captions": 4, "words": 18, "different": 10}
    assert found["longest"] == {
        "captions": {"words": 9, "split": "train", "text": "a very long caption of a dog that runs"}
    }
    assert found["repeated"] == {"train": 1, "val": 0, "test": 0}
    assert found["texts_in_two_splits"] == {"val in train": ["a dog runs"]}
    assert found["unknown_share"]["val"] == {"captions": 0.75}  # of four words, "a" alone is there five times
    assert not (found["missing"] or found["damaged"] or found["same_pictures"] or found["pictures_in_two_splits"])
    assert "train        2 pictures, 4 captions, 18 words, 10 different" in lines
    assert "in two       1 captions of val in train, such as 'a dog runs'" in lines


def test_pictures_that_are_missing_damaged_or_the_same(karpathy):
    images = karpathy[0] / "images"
    (images / "b.png").unlink()
    shutil.copy(images / "a.png", images / "c.png")
    (images / "d.png").write_bytes((images / "d.png").read_bytes()[:200])
    found, lines = check(karpathy[1])
    assert found["missing"] == ["b.png"]
    assert list(found["damaged"]) == [str(images / "d.png")]
    assert found["same_pictures"] == found["pictures_in_two_splits"] == [(str(images / "a.png"), str(images / "c.png"))]
    assert "missing      1 pictures are not there: b.png" in lines
    assert any(line.startswith("damaged      1 pictures cannot be read: ") and "d.png" in line for line in lines)
    assert any(line.startswith("in two       1 pictures are in two splits: ") and "a.png = " in line for line in lines)


def test_questions(tmp_path):
    (tmp_path / "images").mkdir()
    lines = []
    for k in range(1, 31):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(tmp_path / "images" / f"image{k}.png")
        lines += [f"what is red in the image{k} ?", "lamp" if k % 2 else "two words"]
    (tmp_path / "images" / "image7.png").unlink()
    (tmp_path / "qa.train.txt").write_text("\n".join(lines) + "\n")
    found, _ = check(f"daquar:{tmp_path}")
    assert sum(split["questions"] for split in found["splits"].values()) == 29
    assert found["missing"] == ["image7"]
    assert found["texts_in_two_splits"] == {}  # the same question about other pictures is no leak
    assert found["unknown_share"]["val"] == {"questions": 0, "answers": 0}


def test_pairs_and_texts(tmp_path):
    (tmp_path / "a.tsv").write_text("".join(f"word{i % 20} x\ty{i}\n" for i in range(40)))
    found, _ = check(f"tsv:{tmp_path / 'a.tsv'}")
    assert found["splits"]["train"]["sources"] == 36 and found["splits"]["val"]["sources"] == 4
    assert 0 < found["unknown_share"]["val"]["sources"] < 1
    assert found["unknown_share"]["val"]["targets"] == 1
    (tmp_path / "a.txt").write_text("one two\n" * 20)
    found, lines = check(f"text:{tmp_path / 'a.txt'}")
    assert found["repeated"] == {"train": 17, "val": 1}
    assert "in two       1 sentences of val in train, such as 'one two'" in lines


def test_stories(tmp_path):
    (tmp_path / "qa1_x_train.txt").write_text(
        "1 Mary slept.\n2 Who slept?\tMary\t1\n1 John ate.\n2 Who ate?\tJohn\t1\n"
    )
    found, _ = check(f"babi:{tmp_path}:1")
    assert found["unknown_share"]["val"]["answers"] == 1


@pytest.mark.parametrize("data", ["scenes", "nonsense", "nonsense:x", ""])
def test_what_is_no_set(data):
    with pytest.raises(UserError, match="give a set of data as --data has it, of one of the kinds ptb, text"):
        data_check.read(data)


def test_a_set_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="--data karpathy:x: give"):
        data_check.read("karpathy:x")
    with pytest.raises(UserError, match="is not a folder"):
        data_check.read(f"karpathy:{tmp_path / 'a.json'}:{tmp_path / 'images'}")


def test_the_sheet_shows_pictures_with_their_texts_or_texts_alone(karpathy, tmp_path):
    _, contents = data_check.read(karpathy[1])
    small, large = (data_check.sheet(contents, "train", n, seed=0) for n in (1, 12))
    assert small.width < large.width
    (karpathy[0] / "images" / "c.png").write_bytes(b"damaged")
    assert data_check.sheet(contents, "val", 12, 0).height < large.height  # no picture, but its captions
    with pytest.raises(UserError, match="--split dev: this data has train, val, test"):
        data_check.sheet(contents, "dev", 12, 0)


def test_every_kind_of_data_can_be_checked():
    from scratchlv.tasks import TASKS

    for task in TASKS.values():
        for kind in task.data:
            if kind != "scenes":
                assert data_check.find_task(f"{kind}:x") in ("caption", "vqa", "translate", "lm", "babi")
