"""bAbI: questions about short stories (Weston et al. 2015), in files ``qa1_single-supporting-fact_train.txt``.

    1 Mary moved to the bathroom.
    2 John went to the hallway.
    3 Where is Mary? <TAB>bathroom<TAB>1

The number 1 begins a new story. Behind a question stand its answer and the numbers of the lines that support it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from scratchlv.data.text import Sentences, bare_words, read_lines
from scratchlv.errors import UserError

_FILE = re.compile(r"qa(\d+)_.+_train\.txt")
_LINE = re.compile(r"(\d{1,9}) (.*)")
_QUESTION = re.compile(r"([^\t]+)\t([^\t]+)\t\s*(\d{1,9}(?: +\d{1,9})*)")


class Story(NamedTuple):
    """A question, and what has been told when it is asked."""

    sentences: Sentences  # the statements so far, oldest first; other questions are no part of it
    question: list[str]
    answer: str  # of several ("milk,football"), all are one answer
    supporting: tuple[int, ...]  # indices into sentences


def babi(folder: str | Path, task: int | str) -> dict[str, list[Story]]:
    """The questions of a task: "train", "val" (those of the last tenth of the training file's stories) and, where its
    file is there, "test". Words are lower case, without punctuation.

    Raises:
        UserError: the folder or the task is not there, or a line is malformed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the one that holds bAbI's qa1_…_train.txt")
    files = {int(match[1]): file for file in folder.iterdir() if (match := _FILE.fullmatch(file.name))}
    chosen = {str(number): file for number, file in files.items()}.get(str(task))
    if chosen is None:
        there = ", ".join(map(str, sorted(files))) or "none"
        raise UserError(f"{folder} has no training file of bAbI task {task!s}; the tasks there are: {there}")
    stories = _read(chosen)
    if len(stories) < 2:
        raise UserError(f"{chosen} has {len(stories)} stories with questions; training and validating need two or more")
    cut = len(stories) - max(1, len(stories) // 10)
    splits = {"train": _flat(stories[:cut]), "val": _flat(stories[cut:])}
    test = chosen.with_name(chosen.name.removesuffix("_train.txt") + "_test.txt")
    if test.exists():
        splits["test"] = _flat(_read(test))
    return splits


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
            raise UserError(f"{where}: expected a line that begins {wanted}, found {line.strip()[:60]!r}; mend it")
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
