"""Captions and references in files: what is read, and what is said of a file that is another."""

import json

import pytest

from scratchlv.data.caption_files import of_results, read_references, read_results
from scratchlv.errors import UserError

RESULTS = [{"image_id": 9, "caption": "a dog"}, {"image_id": 7, "caption": ""}]
COCO = {
    "images": [{"id": 9, "file_name": "9.jpg"}],
    "annotations": [{"image_id": 9, "id": 1, "caption": "A dog."}, {"image_id": 9, "id": 2, "caption": "The dog"}],
}
KARPATHY = {
    "images": [
        {"filename": "9.jpg", "cocoid": 9, "split": "val", "sentences": [{"raw": "A dog."}, {"tokens": ["The", "dog"]}]}
    ]
}


def written(folder, data):
    file = folder / "file"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return file


def test_results(tmp_path):
    assert read_results(written(tmp_path, RESULTS)) == {9: "a dog", 7: ""}
    assert read_results(written(tmp_path, [{"image_id": "a.jpg", "caption": "x", "more": 1}])) == {"a.jpg": "x"}


def test_references_in_three_formats(tmp_path):
    both = ["A dog.", "The dog"]
    assert read_references(written(tmp_path, COCO)) == {9: both}
    assert read_references(written(tmp_path, KARPATHY)) == {9: both, "9.jpg": both}
    assert read_references(written(tmp_path, "9.jpg#0\tA dog.\n9.jpg#1\tThe dog\n")) == {9: both, "9.jpg": both}
    assert read_references(written(tmp_path, "a9.jpg#0\tA dog.\n")) == {"a9.jpg": ["A dog."]}
    file = tmp_path / "captions.txt"
    file.write_text("image,caption\n9.jpg,A dog.\n9.jpg,The dog\n")
    assert read_references(file) == {9: both, "9.jpg": both}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (COCO, "looks like COCO captions; give a list of"),
        (KARPATHY, "looks like a Karpathy split"),
        ("9.jpg#0\tA dog.\n", "looks like captions of Flickr8k"),
        ([{"question_id": 1, "answer": "a"}], "looks like results in VQA's format"),
        ([], "holds no captions"),
        ([{"image_id": 1, "caption": "a"}, {"image_id": 2}], r"\[1\] needs an 'image_id' and a 'caption'"),
        ([{"image_id": 1, "caption": "a"}, 3], r"\[1\] needs an 'image_id' and a 'caption'"),
        ([{"image_id": 1, "caption": "a"}] * 2, r"\[1\] is the second caption of 1"),
        ("{", "is no JSON"),
    ],
)
def test_what_are_no_results(tmp_path, data, says):
    with pytest.raises(UserError, match=says):
        read_results(written(tmp_path, data))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (RESULTS, "looks like results in COCO's format; give COCO's annotations"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}]}, "looks like a list of pictures without captions"),
        ({"a": 1}, "holds no captions of people"),
        ("{", "is no JSON"),
        ({"annotations": [{"image_id": 1, "caption": "a"}, {"caption": "b"}]}, r"annotations\[1\] needs"),
        ({"images": [{"filename": "a.jpg", "sentences": [{}]}]}, r"images\[0\] needs a 'filename'"),
    ],
)
def test_what_are_no_references(tmp_path, data, says):
    with pytest.raises(UserError, match=says):
        read_references(written(tmp_path, data))


def test_no_such_file(tmp_path):
    for read in (read_results, read_references):
        with pytest.raises(UserError, match="is not there"):
            read(tmp_path / "no.json")


def test_every_result_has_its_references(tmp_path):
    file = written(tmp_path, COCO)
    references = read_references(file) | {5: ["of another picture"]}
    assert of_results({9: "a dog"}, references, file) == [["A dog.", "The dog"]]
    with pytest.raises(UserError, match=r"has no captions of 2 of 3 pictures \(7, a.jpg\)"):
        of_results({9: "", 7: "", "a.jpg": ""}, references, file)
