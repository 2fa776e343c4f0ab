"""Karpathy's splits, of all three sets, whole and damaged."""

import copy
import gzip
import json

import pytest

from scratchlv.data.karpathy import Karpathy
from scratchlv.errors import UserError


def image(name, split, *captions, **more):
    return {"filename": name, "split": split, "sentences": [{"raw": c, "tokens": c.split()} for c in captions]} | more


FLICKR = {
    "dataset": "flickr8k",
    "images": [
        image("a.jpg", "train", "A dog .", " Dogs "),
        image("b.jpg", "val", "A cat ."),
        image("c.jpg", "test", "A bird ."),
    ],
}
COCO = {
    "dataset": "coco",
    "images": [
        image("t1.jpg", "train", "One", filepath="train2014", cocoid=11),
        image("v2.jpg", "restval", "Two", filepath="val2014", cocoid=12),
        image("v3.jpg", "val", "Three", filepath="val2014", cocoid=13),
        image("v4.jpg", "test", "Four", filepath="val2014", cocoid=14),
    ],
}


@pytest.fixture
def read(tmp_path):
    images = tmp_path / "images"
    images.mkdir()

    def reading(content):
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        return Karpathy(tmp_path / "dataset.json", images)

    for found in FLICKR["images"]:
        (images / found["filename"]).touch()
    return reading


def test_flickr(read, tmp_path):
    found = read(FLICKR)
    images = tmp_path / "images"
    assert found.split("train") == [(images / "a.jpg", ["A dog .", "Dogs"])]
    assert found.split("val") == [(images / "b.jpg", ["A cat ."])]
    assert found.split("test") == [(images / "c.jpg", ["A bird ."])]
    assert found.image_ids("test") == {}
    assert found.captions.keys() == {"a.jpg", "b.jpg", "c.jpg"}


@pytest.mark.parametrize("folders", [True, False])
def test_of_coco_restval_is_train_and_folders_may_be_there(read, tmp_path, folders):
    images = tmp_path / "images"
    for found in COCO["images"]:
        if folders:
            (images / found["filepath"]).mkdir(exist_ok=True)
        (images / (found["filepath"] if folders else "") / found["filename"]).touch()
    paths = {path.name: path for split in ("train", "val", "test") for path, _ in read(COCO).split(split)}
    assert [path.name for path, _ in read(COCO).split("train")] == ["t1.jpg", "v2.jpg"]
    assert read(COCO).image_ids("train") == {paths["t1.jpg"]: 11, paths["v2.jpg"]: 12}
    assert paths["v4.jpg"].parent.name == ("val2014" if folders else "images")


def test_words_where_there_is_no_text(read):
    content = copy.deepcopy(FLICKR)
    del content["images"][0]["sentences"][0]["raw"]
    assert read(content).captions["a.jpg"] == ["A dog .", "Dogs"]


def test_a_packed_file(tmp_path):
    (tmp_path / "dataset.json.gz").write_bytes(gzip.compress(json.dumps(FLICKR).encode()))
    assert len(Karpathy(tmp_path / "dataset.json.gz", tmp_path).captions) == 3


def test_missing_pictures_are_named_or_left_out(read, tmp_path):
    found = read(FLICKR)
    (tmp_path / "images" / "b.jpg").unlink()
    with pytest.raises(
        UserError, match=r"dataset\.json lists 1 of 1 pictures that are not in .*images \(b\.jpg\); .*--skip-missing"
    ):
        found.split("val")
    assert found.missing("val") == ["b.jpg"]
    with pytest.raises(UserError, match="has none of the pictures"):
        found.split("val", skip_missing=True)


def test_a_split_that_is_not_there(read):
    with pytest.raises(UserError, match=r"no pictures of the split 'val'; it has train$"):
        read({"images": FLICKR["images"][:1]}).split("val")


def test_the_folder_of_pictures_is_missing(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a folder; give the one that holds the pictures"):
        Karpathy(tmp_path / "a.json", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"].append(3), r"images\[3\] is no object"),
        (lambda c: c["images"][1].update(filename="../b.jpg"), r"images\[1\] needs a 'filename' .*found '\.\./b\.jpg'"),
        (lambda c: c["images"][1].pop("filename"), r"images\[1\] needs a 'filename'"),
        (lambda c: c["images"][1].update(filepath="../x"), r"images\[1\] needs a 'filename'"),
        (
            lambda c: c["images"][1].update(split="dev"),
            r"images\[1\] has the split 'dev'; mend it: there are train, val",
        ),
        (lambda c: c["images"][1].update(split=["val"]), r"images\[1\] has the split \['val'\]"),
        (lambda c: c["images"][1].update(filename="a.jpg"), r"images\[1\] is a\.jpg once more"),
        (lambda c: c["images"][1].update(sentences=[]), r"images\[1\] \(b\.jpg\) needs 'sentences'"),
        (lambda c: c["images"][1].update(sentences=[{"raw": " "}]), r"images\[1\] \(b\.jpg\) needs 'sentences'"),
        (lambda c: c["images"][1].update(sentences=["A cat"]), r"images\[1\] \(b\.jpg\) needs 'sentences'"),
        (lambda c: c.update(images=[]), r"has no list 'images' with 'sentences'; give another"),
        (lambda c: c.pop("images"), r"has no list 'images' with 'sentences'; give another"),
    ],
)
def test_every_way_to_be_wrong(read, change, message):
    content = copy.deepcopy(FLICKR)
    change(content)
    with pytest.raises(UserError, match=r"dataset\.json:? " + message):
        read(content)
