"""bAbI: questions about short stories (Weston et al. 2015), in files ``qa1_single-supporting-fact_train.txt``.

    1 Mary moved to the bathroom.
    2 John went to the hallway.
    3 Where is Mary? <TAB>bathroom<TAB>1

The number 1 begins a new story. Behind a question stand its answer and the numbers of the lines that support it.

The distribution has such files in ``en/`` and ``en-10k/``. Those in ``en-valid/``, ``qa1_train.txt``, ``qa1_valid.txt`` and
``qa1_test.txt``, have a validation part of their own. All may be packed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from scratchlv.data.files import find, unpacked_name
from scratchlv.data.formats import BABI, malformed
from scratchlv.data.text import Sentences, bare_words, read_lines
from scratchlv.errors import UserError

TASKS = 20
ALL = "all"  #: in the place of a task's number

_FILE = re.compile(r"qa(\d+)_(?:.+_)?train\.txt")
_LINE = re.compile(r"(\d{1,9}) (.*)")
_QUESTION = re.compile(r"([^\t]+)\t([^\t]+)\t\s*(\d{1,9}(?: +\d{1,9})*)")


class Story(NamedTuple):
    """A question, and what has been told when it is asked."""

    sentences: Sentences  # the statements so far, oldest first; other questions are no part of it
    question: list[str]
    answer: str  # of several ("milk,football"), all are one answer
    supporting: tuple[int, ...]  # indices into sentences


def babi(folder: str | Path, task: int | str) -> dict[str, list[Story]]:
    """The questions of a task: "train", "val" and, where its file is there, "test". Words are lower case, without punctuation.

    Where the task has no validation file, "val" is the questions of the last tenth of the training file's stories.

    Raises:
        UserError: the folder or the task is not there, or a line is malformed.
    """
    folder = Path(folder)
    _require(folder)
    chosen = _training_file(folder, str(task))
    name = unpacked_name(chosen).removesuffix("train.txt")
    stories = _read(chosen)
    valid, test = (find(folder, f"{name}{part}.txt") for part in ("valid", "test"))
    if valid is None and len(stories) < 2:
        raise UserError(f"{chosen} has {len(stories)} stories with questions; training and validating need two or more")
    cut = len(stories) - (max(1, len(stories) // 10) if valid is None else 0)
    splits = {"train": stories[:cut], "val": stories[cut:] if valid is None else _read(valid)}
    if test is not None:
        splits["test"] = _read(test)
    for part, file in (("train", chosen), ("val", valid or chosen)):
        if not splits[part]:
            raise malformed(BABI, file, "has no question", "copy it again")
    return {part: _flat(several) for part, several in splits.items()}


def tasks(folder: str | Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tasks that a folder has, and those of bAbI's twenty that it lacks.

    Raises:
        UserError: it is no folder, or has none.
    """
    folder = Path(folder)
    _require(folder)
    there = tuple(sorted(map(int, _training_files(folder))))
    if not there:
        _training_file(folder, ALL)  # which says what is there
    return there, tuple(task for task in range(1, TASKS + 1) if task not in there)


def _require(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the one that holds bAbI's qa1_…_train.txt")


def _training_file(folder: Path, task: str) -> Path:
    files = _training_files(folder)
    if task in files:
        return files[task]
    if not files:
        below = sorted(inner.name for inner in folder.iterdir() if inner.is_dir() and _training_files(inner))
        if below:
            raise UserError(
                f"{folder} has its tasks in folders; give one of them, as babi:{folder / below[0]}:1: {', '.join(below)}"
            )
    there = ", ".join(sorted(files, key=int)) or "none"
    raise UserError(f"{folder} has no training file of bAbI task {task}; the tasks there are: {there}")


def _training_files(folder: Path) -> dict[str, Path]:
    """By the number of the task."""
    found = ((_FILE.fullmatch(unpacked_name(file)), file) for file in sorted(folder.iterdir(), reverse=True))
    return {str(int(match[1])): file for match, file in found if match}


def _flat(stories: list[list[Story]]) -> list[Story]:
    return [question for story in stories for question in story]


def _read(file: Path) -> list[list[Story]]:
    """The questions of each story."""
    stories: list[list[Story]] = []
    told: Sentences = []
    index: dict[int, int] = {}  # number of a statement -> its place among those told
    last = 0
    for line_number, line in read_lines(file):
        if not line.strip():
            continue
        where = f"{file} line {line_number}"
        match = _LINE.fullmatch(line.strip())
        number, rest = (int(match[1]), match[2]) if match else (0, "")
        if number not in (1, last + 1):
            wanted = "1" if last == 0 else f"1 or {last + 1}"
            problem = f"line {line_number}: expected a line that begins {wanted}, found {line.strip()[:60]!r}"
            raise malformed(BABI, file, problem, "mend it")
        if number == 1:
            stories, told, index = [*stories, []], [], {}
        last = number
        if "\t" in rest:
            stories[-1].append(_story(rest, told, index, where))
        else:
            index[number] = len(told)
            told.append(bare_words(rest))
            if not told[-1]:
                raise UserError(f"{where}: a statement without words ({rest[:60]!r}); mend it")
    return [story for story in stories if story]


def _story(line: str, told: Sentences, index: dict[int, int], where: str) -> Story:
    match = _QUESTION.fullmatch(line)
    question = bare_words(match[1]) if match else []
    answer = match[2].strip() if match else ""
    if not (match and question and answer):
        raise UserError(f"{where}: expected question<TAB>answer<TAB>line numbers, found {line[:60]!r}; mend it")
    numbers = [int(number) for number in match[3].split()]
    wrong = [number for number in numbers if number not in index]
    if wrong:
        raise UserError(f"{where}: line {wrong[0]} of this story is no statement before the question; mend the numbers")
    return Story(told[:], question, answer, tuple(index[number] for number in numbers))
