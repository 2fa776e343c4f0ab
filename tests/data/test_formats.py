"""Files of every format, recognised; and what is said of one that was given as another."""

import gzip
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from scratchlv.data import formats
from scratchlv.data.coco import Coco
from scratchlv.data.flickr8k import Flickr8k
from scratchlv.data.karpathy import Karpathy
from scratchlv.data.text import read_lines
from scratchlv.errors import UserError

JSON = {
    "KARPATHY": {"images": [{"filename": "a.jpg", "sentences": []}], "dataset": "coco"},
    "COCO": {"info": {}, "images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "a"}]},
    "COCO_OBJECTS": {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "bbox": []}]},
    "COCO_PICTURES": {"images": [{"id": 1, "file_name": "a.jpg"}]},
    "COCO_RESULTS": [{"image_id": 1, "caption": "a"}],
    "VQA_QUESTIONS": {"questions": [{"question_id": 1, "image_id": 1, "question": "?"}]},
    "VQA_ANNOTATIONS": {"annotations": [{"question_id": 1, "multiple_choice_answer": "a"}]},
    "VQA_RESULTS": [{"question_id": 1, "answer": "a"}],
    "CLEVR": {"questions": [{"image_index": 1, "question": "?"}]},
}
TEXT = {
    "JSON_LINES": '{"a": 1}\n{"a": 2}\n',
    "TABS": "Go.\tVa !\nHi.\tSalut !\n",
    "CSV": "text,headline\na b,c\n",
    "FLICKR8K": "a.jpg#0\tA dog\na.jpg#1\tA cat\n",
    "BABI": "1 Mary slept.\n2 Who slept?\tMary\t1\n",
    "DAQUAR": "what is red in the image3 ?\nlamp\n",
}


@pytest.mark.parametrize("name", [*JSON, *TEXT])
def test_formats_are_recognised(tmp_path, name):
    text = TEXT[name] if name in TEXT else json.dumps(JSON[name], indent=1)
    for file, data in ((tmp_path / "a", text.encode()), (tmp_path / "a.gz", gzip.compress(text.encode()))):
        file.write_bytes(data)
        assert formats.looks_like(file) == getattr(formats, name)


@pytest.mark.parametrize(
    "text", ["", "one line", "a sentence, and more\nanother one\n", "{ not json", "[1, 2]", '{"a": 1}', '"a"']
)
def test_what_looks_like_nothing(tmp_path, text):
    (tmp_path / "a").write_text(text)
    assert formats.looks_like(tmp_path / "a") is None
    assert formats.looks_like(tmp_path / "b") is None


def binary(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "picture.png")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "picture.jpg")
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "picture.png")
    np.savez(tmp_path / "zip.npz", np.zeros(3))
    (tmp_path / "utf16.txt").write_bytes("é".encode("utf-16"))
    return {"picture.png": "a picture", "picture.jpg": "a picture", "archive.tar.gz": "a tar archive"} | {
        "zip.npz": "a zip archive",
        "utf16.txt": "text in UTF-16; convert it with iconv -f UTF-16",
    }


def test_what_is_no_text_is_named(tmp_path):
    for name, seen in binary(tmp_path).items():
        with pytest.raises(UserError, match=f"{name} is not UTF-8 text: byte .*: it looks like {seen}"):
            list(read_lines(tmp_path / name))


def test_of_data_in_another_encoding_only_the_encoding_is_wrong(tmp_path):
    file = tmp_path / "Flickr8k.token.txt"
    file.write_bytes("a.jpg#0\tun café\n".encode("latin-1"))
    with pytest.raises(UserError, match="byte 0xe9 at position 14 .*; convert it, e.g. with iconv$"):
        list(read_lines(file))


def test_what_is_read_as_plain_text_but_looks_like_something_else(tmp_path):
    for name, text in (TEXT | {"PLAIN": "A sentence.\nAnother.\n"}).items():
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in (*TEXT, "PLAIN")]
    notes = formats.notes_of_text(*paths)
    assert len(notes) == len(TEXT) - 1  # commas prove nothing
    assert notes[0].startswith(f"{paths[0]} looks like JSON lines, but is read as plain text; give it by --data jsonl:")


def test_a_download_that_failed(tmp_path):
    (tmp_path / "a.json").write_text("<!DOCTYPE html>\n<html>Sign in</html>\n")
    with pytest.raises(UserError, match=r"a\.json is no JSON.*: it looks like a web page; the download failed"):
        formats.load_json(formats.COCO, tmp_path / "a.json")


@pytest.mark.parametrize("name", [*JSON, *TEXT])
@pytest.mark.parametrize(("reader", "own"), [(Karpathy, "KARPATHY"), (Coco, "COCO"), (Flickr8k, "FLICKR8K")])
def test_one_format_given_as_another(tmp_path, name, reader, own):
    if name == own:
        return
    (tmp_path / "images").mkdir()
    file = tmp_path / "Flickr8k.token.txt"
    file.write_text(TEXT[name] if name in TEXT else json.dumps(JSON[name]))
    arguments = (tmp_path,) if reader is Flickr8k else (file, tmp_path)
    seen = getattr(formats, name)
    with pytest.raises(UserError) as refused:
        reader(*arguments)
    assert str(refused.value).endswith(f": it looks like {seen.name}; {seen.use}")
    assert str(refused.value).startswith(str(file))
