"""COCO's captions, whole and damaged, and what its results call pictures."""

import copy
import json
from pathlib import Path

import pytest

from scratchlv.data.coco import Coco, image_ids_of
from scratchlv.errors import UserError


def annotations(*numbers, part="train2014"):
    return {
        "info": {},
        "images": [{"id": n, "file_name": f"COCO_{part}_{n:012}.jpg"} for n in numbers],
        "annotations": [
            {"id": 10 * n + k, "image_id": n, "caption": f" Caption {k} of {n}. "} for k in (0, 1) for n in numbers
        ],
    }


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content))
    return folder / name


def place(folder, content):
    folder.mkdir(exist_ok=True, parents=True)
    for found in content["images"]:
        (folder / found["file_name"]).touch()


@pytest.fixture
def official(tmp_path):
    train, val = annotations(3, 5), annotations(4, part="val2014")
    place(tmp_path / "images" / "train2014", train)
    place(tmp_path / "images" / "val2014", val)
    write(tmp_path, "captions_val2014.json", val)
    return write(tmp_path, "captions_train2014.json", train)


@pytest.mark.parametrize("below", ["images", "images/train2014"])
def test_the_validation_part_lies_beside(official, below):
    found = Coco(official, official.parent / below)
    images = official.parent / "images"
    path = images / "val2014" / "COCO_val2014_000000000004.jpg"
    assert found.split("val") == [(path, ["Caption 0 of 4.", "Caption 1 of 4."])]
    assert found.image_ids("val") == {path: 4}
    assert [path.parent.name for path, _ in found.split("train")] == ["train2014"] * 2
    assert found.notes == ()
    with pytest.raises(UserError, match=r"no split 'test' here; choose one of train, val"):
        found.split("test")


def test_all_pictures_in_one_folder(official):
    images = official.parent / "images"
    for file in [*images.glob("*/*.jpg")]:
        file.rename(images / file.name)
    for part in ("train2014", "val2014"):
        (images / part).rmdir()
    found = Coco(official, images)
    assert (len(found.split("train")), len(found.split("val"))) == (2, 1)


def test_without_a_validation_part_it_is_cut_by_picture(tmp_path):
    content = annotations(*range(1, 21))
    place(tmp_path / "images", content)
    found = Coco(write(tmp_path, "captions_train2014.json", content), tmp_path / "images")
    sets = [{path for path, _ in found.split(split)} for split in ("train", "val", "test")]
    assert list(map(len, sets)) == [16, 2, 2] and len(set.union(*sets)) == 20
    assert "by chance" in found.notes[0]


def test_pictures_without_captions_are_left_out_and_said(tmp_path):
    content = annotations(1, 2, 3)
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 2]
    found = Coco(write(tmp_path, "a.json", content), tmp_path)
    assert len(found.captions) == 2
    assert found.notes[0] == "1 pictures of a.json have no caption"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"].append(7), r"images\[2\] needs an 'id' of its own"),
        (lambda c: c["images"][1].update(id=3), r"images\[1\] needs an 'id' of its own"),
        (lambda c: c["images"][1].update(id="5"), r"images\[1\] needs an 'id' of its own"),
        (lambda c: c["images"][1].update(file_name="../a.jpg"), r"images\[1\] needs an 'id'"),
        (lambda c: c["annotations"].append(7), r"annotations\[4\] needs an 'image_id'"),
        (lambda c: c["annotations"][1].update(caption=" "), r"annotations\[1\] needs an 'image_id' and a 'caption'"),
        (lambda c: c["annotations"][1].pop("image_id"), r"annotations\[1\] needs an 'image_id'"),
        (
            lambda c: c["annotations"][1].update(image_id=99),
            r"has 1 captions of pictures that are not in .*image_id 99",
        ),
        (lambda c: c.pop("images"), r"has 4 captions of pictures that are not in"),
        (
            lambda c: c.update(annotations=[]),
            r"has no 'images' and 'annotations' with captions: it looks like a list of",
        ),
    ],
)
def test_every_way_to_be_wrong(tmp_path, change, message):
    content = copy.deepcopy(annotations(3, 5))
    change(content)
    with pytest.raises(UserError, match=r"a\.json:? " + message):
        Coco(write(tmp_path, "a.json", content), tmp_path)


def test_the_folder_is_missing(official):
    with pytest.raises(UserError, match="nowhere is not a folder"):
        Coco(official, official.parent / "nowhere")


def test_results_have_the_numbers_of_coco_or_names():
    assert image_ids_of([Path("x/COCO_val2014_000000391895.jpg"), Path("000000000009.jpg")]) == [391895, 9]
    assert image_ids_of([Path("000000000009.jpg"), Path("1001_ab70.jpg")]) == ["000000000009.jpg", "1001_ab70.jpg"]
    assert image_ids_of([Path(b"\xff.jpg".decode(errors="surrogateescape"))]) == ["\ufffd.jpg"]
    with pytest.raises(UserError, match=r"a/7\.jpg and b/07\.png have the same image_id, 7"):
        image_ids_of([Path("a/7.jpg"), Path("b/07.png")])
