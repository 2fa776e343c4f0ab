"""DAQUAR: questions about photographs of rooms (Malinowski & Fritz 2014, on NYU Depth v2).

    DIR/qa.train.txt      lines alternate: "what is on the desk in the image3 ?" and its answer, "book, scissor"
    DIR/qa.test.txt       the same, for the split "test", where it is there
    DIR/images/           image3.jpg, or .jpeg or .png; or nyu_depth_images/

There is no official validation part: a picture belongs to it, with all its questions, when the CRC-32 of its name is
divisible by ten. So about a tenth of the pictures do, always the same ones.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import NamedTuple

from scratchlv.data.text import bare_words, first_few, read_lines
from scratchlv.errors import UserError

_IMAGES = ("images", "nyu_depth_images")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_NAME = re.compile(r"\bimage\d{1,9}\b")
# Which picture is meant is no part of the question; nearly all end in this.
_WHERE = re.compile(r"(?:\b(?:in|on|of)\s+)?(?:\b(?:the|this)\s+)?\bimage\d{1,9}\W*$")


class Question(NamedTuple):
    """One question about one picture."""

    image: Path
    words: list[str]  # lower case, without punctuation and without the picture's name
    answer: str  # the first of the answers
    answers: tuple[str, ...]  # all that were given


class Questions(NamedTuple):
    """The questions of each split, and the number of those left out because their picture is missing."""

    splits: dict[str, list[Question]]
    skipped: int = 0


def daquar(folder: str | Path, *, skip_missing: bool = False) -> Questions:
    """The set in a folder: splits "train", "val" and, where its file is there, "test". No picture is opened.

    Args:
        skip_missing: leave out, and count, the questions whose picture is missing.

    Raises:
        UserError: the folder, a file or (without ``skip_missing``) pictures are missing; or a file is malformed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the one that holds qa.train.txt and images/")
    image_folders = [folder / name for name in _IMAGES if (folder / name).is_dir()]
    if not image_folders:
        raise UserError(f"{folder} has no folder of pictures; put them into {folder / _IMAGES[0]}")
    pictures = {file.stem: file for file in sorted(image_folders[0].iterdir()) if file.suffix.lower() in _SUFFIXES}
    read = {"train": _read(folder / "qa.train.txt")}
    if (folder / "qa.test.txt").exists():
        read["test"] = _read(folder / "qa.test.txt")

    names = {name for questions in read.values() for name, *_ in questions}
    missing = sorted(names - pictures.keys(), key=lambda name: int(name.removeprefix("image")))
    if missing and not skip_missing:
        raise UserError(
            f"{image_folders[0]} lacks {len(missing)} of {len(names)} pictures ({first_few(missing)}); "
            "copy them there, or go on without them by --skip-missing"
        )
    splits: dict[str, list[Question]] = {split: [] for split in ("train", "val", *read)}
    for split, questions in read.items():
        for name, words, answers in questions:
            if name in pictures:
                part = "val" if split == "train" and _held_out(name) else split
                splits[part].append(Question(pictures[name], words, answers[0], answers))
    for split in ("train", "val"):
        if not splits[split]:
            raise UserError(
                f"{folder / 'qa.train.txt'} leaves no question with a picture for {split}; copy the set again"
            )
    return Questions(splits, sum(name not in pictures for questions in read.values() for name, *_ in questions))


def _held_out(name: str) -> bool:
    return zlib.crc32(name.encode()) % 10 == 0


def _read(file: Path) -> list[tuple[str, list[str], tuple[str, ...]]]:
    """(name of the picture, words of the question, answers) of each pair of lines."""
    lines = [(number, line.strip()) for number, line in read_lines(file)]
    while lines and not lines[-1][1]:
        lines.pop()
    if len(lines) % 2:
        raise UserError(f"{file} has {len(lines)} lines, an odd number; they must alternate: a question, its answer")
    questions = []
    for (number, question), (answer_number, answer) in zip(lines[::2], lines[1::2], strict=True):
        names = set(_NAME.findall(question))
        if len(names) != 1:
            found = f"names {len(names)} pictures" if names else "names no picture"
            raise UserError(
                f"{file} line {number}: the question {found} ({question[:60]!r}); it must name one, as image3"
            )
        words = bare_words(_NAME.sub("image", _WHERE.sub("", question)))
        if not words:
            raise UserError(f"{file} line {number}: a question without words ({question[:60]!r}); mend it")
        answers = tuple(a.strip() for a in answer.split(",") if a.strip())
        if not answers:
            raise UserError(f"{file} line {answer_number}: expected an answer, found {answer[:60]!r}; mend it")
        questions.append((names.pop(), words, answers))
    return questions
