"""DAQUAR: questions about photographs of rooms (Malinowski & Fritz 2014, on NYU Depth v2).

    DIR/qa.train.txt      lines alternate: "what is on the desk in the image3 ?" and its answer, "book, scissor"
    DIR/qa.test.txt       the same, for the split "test", where it is there
    DIR/images/           image3.jpg, or .jpeg or .png; or nyu_depth_images/

The distributed files are ``qa.37.raw.train.txt`` and ``qa.894.raw.train.txt``, with 37 and with all 894 classes of objects in
their answers; where both are there, one of them is given instead of the folder. Several answers ("book, scissor") are one: who
names only some of them is wrong. There is no official validation part: a picture belongs to it, with all its questions, when the
CRC-32 of its name is divisible by ten. So about a tenth of the pictures do, always the same ones.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from scratchlv.data.files import find, sibling, unpacked_name
from scratchlv.data.formats import DAQUAR, malformed
from scratchlv.data.picture_questions import Question, Questions, refuse_missing_pictures
from scratchlv.data.text import bare_words, read_lines
from scratchlv.errors import UserError

_NAMES = ("qa.train.txt", "qa.37.raw.train.txt", "qa.894.raw.train.txt")
_IMAGES = ("images", "nyu_depth_images")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_NAME = re.compile(r"\bimage\d{1,9}\b")
# Which picture is meant is no part of the question; nearly all end in this.
_WHERE = re.compile(r"(?:\b(?:in|on|of)\s+)?(?:\b(?:the|this)\s+)?\bimage\d{1,9}\W*$")


def daquar(folder: str | Path, *, skip_missing: bool = False) -> Questions:
    """The set in a folder: splits "train", "val" and, where its file is there, "test". No picture is opened.

    Args:
        folder: or one of several training files in it.
        skip_missing: leave out, and count, the questions whose picture is missing.

    Raises:
        UserError: the folder, a file or (without ``skip_missing``) pictures are missing; or a file is malformed.
    """
    file, folder = _training_file(Path(folder))
    image_folders = [folder / name for name in _IMAGES if (folder / name).is_dir()]
    if not image_folders:
        raise UserError(f"{folder} has no folder of pictures; put them into {folder / _IMAGES[0]}")
    pictures = {file.stem: file for file in sorted(image_folders[0].iterdir()) if file.suffix.lower() in _SUFFIXES}
    read = {"train": _read(file)}
    test = sibling(file, "test")
    if test is not None:
        read["test"] = _read(test)

    names = {name for questions in read.values() for name, *_ in questions}
    missing = sorted(names - pictures.keys(), key=lambda name: int(name.removeprefix("image")))
    refuse_missing_pictures(image_folders[0], missing, len(names), skip_missing)
    splits: dict[str, list[Question]] = {split: [] for split in ("train", "val", *read)}
    for split, questions in read.items():
        for name, words, answers in questions:
            if name in pictures:
                part = "val" if split == "train" and _held_out(name) else split
                splits[part].append(Question(pictures[name], words, ", ".join(answers), answers))
    for split in ("train", "val"):
        if not splits[split]:
            raise UserError(f"{file} leaves no question with a picture for {split}; copy the set again")
    skipped = sum(name not in pictures for questions in read.values() for name, *_ in questions)
    return Questions(splits, skipped, missing=tuple(missing))


def _training_file(given: Path) -> tuple[Path, Path]:
    """The file of the training questions, and its folder."""
    if given.is_file():
        return given, given.parent
    if not given.is_dir():
        raise UserError(f"{given} is not a folder; give the one that holds qa.train.txt and images/")
    files = [file for name in _NAMES if (file := find(given, name)) is not None]
    if not files:
        raise UserError(f"{given} has no {' or '.join(_NAMES)}; copy the file there")
    if len(files) > 1 and unpacked_name(files[0]) != _NAMES[0]:
        raise UserError(f"{given} has {' and '.join(file.name for file in files)}; give one, as daquar:{files[0]}")
    return files[0], given


def _held_out(name: str) -> bool:
    return zlib.crc32(name.encode()) % 10 == 0


def _read(file: Path) -> list[tuple[str, list[str], tuple[str, ...]]]:
    """(name of the picture, words of the question, answers) of each pair of lines."""
    lines = [(number, line.strip()) for number, line in read_lines(file)]
    while lines and not lines[-1][1]:
        lines.pop()
    if len(lines) % 2:
        problem = f"has {len(lines)} lines, an odd number"
        raise malformed(DAQUAR, file, problem, "they must alternate: a question, its answer")
    questions = []
    for (number, question), (answer_number, answer) in zip(lines[::2], lines[1::2], strict=True):
        names = set(_NAME.findall(question))
        if len(names) != 1:
            found = f"names {len(names)} pictures" if names else "names no picture"
            problem = f"line {number}: the question {found} ({question[:60]!r})"
            raise malformed(DAQUAR, file, problem, "it must name one, as image3")
        words = bare_words(_NAME.sub("image", _WHERE.sub("", question)))
        if not words:
            raise UserError(f"{file} line {number}: a question without words ({question[:60]!r}); mend it")
        answers = tuple(a.strip() for a in answer.split(",") if a.strip())
        if not answers:
            raise UserError(f"{file} line {answer_number}: expected an answer, found {answer[:60]!r}; mend it")
        questions.append((names.pop(), words, answers))
    return questions
