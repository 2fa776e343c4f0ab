"""Which format a file has, by the look of it: for errors, when it was given as one of another."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from scratchlv.data.files import opened, read_json
from scratchlv.errors import UserError


class Format(NamedTuple):
    """``name`` is what one calls it, ``use`` how it is used; ``data``: it is a format of data, read as it is."""

    name: str
    use: str
    data: bool = False


def _data(name: str, form: str) -> Format:
    return Format(name, f"give it by --data {form}", True)


KARPATHY = _data("a Karpathy split", "karpathy:JSON:IMAGES")
COCO = _data("COCO captions", "coco:ANNOTATIONS:IMAGES")
COCO_OBJECTS = Format("COCO's objects, not its captions", "take captions_….json from beside it")
COCO_PICTURES = Format("a list of pictures without captions", "take a file of captions")
COCO_RESULTS = Format("results in COCO's format", "take the file of references")
VQA_QUESTIONS = _data("questions of VQA", "vqa:QUESTIONS:ANNOTATIONS:IMAGES")
VQA_ANNOTATIONS = _data("annotations of VQA", "vqa:QUESTIONS:ANNOTATIONS:IMAGES")
VQA_RESULTS = Format("results in VQA's format", "take the file of annotations")
CLEVR = _data("questions of CLEVR", "clevr:DIR")
JSON_LINES = _data("JSON lines", "jsonl:FILE:SOURCE_KEY:TARGET_KEY")
TABS = _data("texts between tabs", "tsv:FILE")
CSV = _data("a CSV file", "csv:FILE:SOURCE_COLUMN:TARGET_COLUMN")
FLICKR8K = _data("captions of Flickr8k", "flickr8k:DIR")
BABI = _data("a task of bAbI", "babi:DIR:TASK")
DAQUAR = _data("questions of DAQUAR", "daquar:DIR")
_ARCHIVE = "unpack it first"
_BINARY = (
    (0, b"PK\x03\x04", Format("a zip archive", _ARCHIVE)),
    (257, b"ustar", Format("a tar archive", _ARCHIVE)),
    (0, b"\x89PNG", Format("a picture", "give the file that names it")),
    (0, b"\xff\xd8\xff", Format("a picture", "give the file that names it")),
    (0, b"\xff\xfe", Format("text in UTF-16", "convert it with iconv -f UTF-16 -t UTF-8")),
    (0, b"\xfe\xff", Format("text in UTF-16", "convert it with iconv -f UTF-16 -t UTF-8")),
    (0, b"%PDF", Format("a PDF document", "save its text")),
    (0, b"version https://git-lfs", Format("a pointer of Git LFS", "fetch the file itself with git lfs pull")),
)
_PAGE = Format("a web page", "the download failed: download the file again")
_TOKENS = re.compile(r"\S.*\.(?:jpe?g|png)#\d+\t", re.IGNORECASE)
_IN_PICTURE = re.compile(r"\bimage\d+\s*\?\s*$")
_START = 1 << 16  # bytes that are looked at
_LINES = 10


def malformed(own: Format, path: str | Path, problem: str, remedy: str) -> UserError:
    """The error about a file that was read as of the format ``own``; the remedy is another one if it looks like another."""
    seen = looks_like(path)
    if seen is None or seen == own:
        return UserError(f"{path} {problem}; {remedy}")
    return UserError(f"{path} {problem}: it looks like {seen.name}; {seen.use}")


def load_json(own: Format, path: str | Path, **options: Any) -> Any:
    """:func:`read_json` of a file that ought to be of the format ``own``.

    Raises:
        UserError: as :func:`read_json`; what else the file looks like is said.
    """
    try:
        return read_json(path, **options)
    except UserError as error:
        seen = looks_like(path)
        if seen is None or seen == own:
            raise
        problem = str(error).rpartition("; ")[0]
        raise UserError(f"{problem}: it looks like {seen.name}; {seen.use}") from None


def notes_of_text(*paths: str | Path) -> list[str]:
    """What to say of files that are read as plain text, whatever is in them, but look like something else."""
    seen = ((path, looks_like(path)) for path in paths)
    return [
        f"{path} looks like {found.name}, but is read as plain text; {found.use} if it is none"
        for path, found in seen
        if found is not None and found != CSV  # commas prove nothing
    ]


def looks_like(path: str | Path) -> Format | None:
    """The format that a file seems to have; None if it looks like none, or cannot be read."""
    try:
        with opened(path) as file:
            start = file.read(_START)
    except UserError:
        return None
    for at, magic, found in _BINARY:
        if start.startswith(magic, at):
            return found
    text = start.decode("utf-8-sig", errors="replace").lstrip()
    if text.startswith(("{", "[")):
        return _of_json(path, text)
    return _of_lines([line for line in re.split(r"[\r\n]+", text) if line.strip()][:_LINES])


def _of_json(path: str | Path, start: str) -> Format | None:
    if len(lines := start.split("\n", 2)) > 1 and all(_is_object(line) for line in lines[:2] if line.strip()):
        return JSON_LINES
    try:
        return of_object(read_json(path))
    except UserError:
        return None


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def of_object(found: Any) -> Format | None:
    """The format of what a JSON file holds."""
    if isinstance(found, list):
        keys = _keys(found)
        return COCO_RESULTS if {"image_id", "caption"} <= keys else VQA_RESULTS if "question_id" in keys else None
    if not isinstance(found, dict):
        return None
    images, annotations, questions = (_keys(found.get(key)) for key in ("images", "annotations", "questions"))
    if "sentences" in images:
        return KARPATHY
    if "caption" in annotations:
        return COCO
    if annotations & {"bbox", "segmentation", "keypoints"}:
        return COCO_OBJECTS
    if annotations & {"multiple_choice_answer", "answers"}:
        return VQA_ANNOTATIONS
    if questions & {"image_index", "image_filename", "question_family_index"}:
        return CLEVR
    if "question_id" in questions:
        return VQA_QUESTIONS
    return COCO_PICTURES if "file_name" in images else None


def _keys(items: Any) -> set[str]:
    """Those of the first of a list of objects."""
    first = items[0] if isinstance(items, list) and items else None
    return set(first) if isinstance(first, dict) else set()


def _of_lines(lines: list[str]) -> Format | None:
    """The format of a text, by its first lines."""
    if not lines:
        return None
    if re.match(r"<!doctype|<html", lines[0], re.IGNORECASE):
        return _PAGE
    if all(_TOKENS.match(line) for line in lines) or [t.strip() for t in lines[0].split(",")] == ["image", "caption"]:
        return FLICKR8K
    if len(lines) > 1 and lines[0].startswith("1 ") and lines[1].startswith("2 "):
        return BABI
    if len(lines) > 1 and _IN_PICTURE.search(lines[0]) and not _IN_PICTURE.search(lines[1]):
        return DAQUAR
    if all("\t" in line for line in lines):
        return TABS
    commas = lines[0].count(",")
    return CSV if commas and len(lines) > 1 and all(line.count(",") == commas for line in lines) else None
