"""What came of many students' exercises: a CSV for a spreadsheet, and a table on the screen."""

from __future__ import annotations

import csv
import os
import re
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from scratchlv.errors import UserError
from scratchlv.exercises.exercise import Exercise
from scratchlv.exercises.marking import MISSING, PASSED, Row
from scratchlv.output import SPELT, spelt

_MOST_TEXT = 600  # characters of a cell
_FORMULA = tuple("=+-@＝＋－＠")  # what a spreadsheet takes for the beginning of a formula
_LINE = re.compile(r"^line \d+: ")
_NAME = 24  # characters of a student's name on the screen


class Gradebook:
    """The CSV, written row by row beside its place, and put there at the end, however that comes. Use it in a ``with``."""

    def __init__(self, path: Path, exercises: Sequence[Exercise]) -> None:
        if path.is_dir():
            raise UserError(f"--csv {path} is a folder: give the name of a file in it")
        self.path, self._exercises = path, exercises
        self._new = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Gradebook:
        self._file = self._new.open(
            "w", encoding="utf-8-sig", errors=SPELT, newline=""
        )  # by its mark, Excel knows UTF-8
        self._writer = csv.writer(self._file, quoting=csv.QUOTE_ALL)
        headings = [f"{each.order:02d} {each.name}" for each in self._exercises]
        self._write(
            [
                "student",
                "passed",
                "of",
                *(part for name in headings for part in (name, f"{name}: why")),
                "notes",
                "folder",
            ]
        )
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        os.replace(self._new, self.path)

    def add(self, row: Row) -> None:
        marks = [row.marks[each.name] for each in self._exercises]
        cells = [part for mark in marks for part in (mark.what, mark.why)]
        name, folder = row.student.name, os.fsencode(row.student.folder).decode("utf-8", "replace")
        self._write([name, str(row.passed), str(len(marks)), *cells, ", ".join(row.notes), folder])

    def _write(self, cells: Iterable[str]) -> None:
        self._writer.writerow([safe(cell) for cell in cells])
        self._file.flush()


def safe(text: str) -> str:
    """A cell that no spreadsheet executes: not as it is, and not if it is split at other separators than commas."""
    line = _one_line(text.replace(";", ","))[:_MOST_TEXT]
    return f"'{line}" if line.startswith(_FORMULA) else line


def _one_line(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


# --- the screen -------------------------------------------------------------------------------------------------------

_LETTERS = {
    PASSED: "+",
    MISSING: ".",
    "start": "s",
    "shape": "h",
    "dtype": "d",
    "value": "v",
    "gradient": "g",
    "limits": "l",
}
_OTHER = "x"


def show(rows: Sequence[Row], exercises: Sequence[Exercise], out: TextIO, width: int = 0) -> None:
    """A line for each student, a letter for each exercise; then what most of those who failed were told."""
    for line in _lines(rows, exercises, width or shutil.get_terminal_size().columns):
        print(spelt(line, out.encoding).rstrip(), file=out)


def _lines(rows: Sequence[Row], exercises: Sequence[Exercise], width: int) -> Iterator[str]:
    names = [_cut(row.student.name, _NAME) for row in rows]
    room = max([len("student"), *map(len, names)])
    letters = room + 11 + len(exercises) + len(exercises) // 5 <= width
    yield f"{'student':{room}}  passed{'   each exercise' if letters else ''}"
    for name, row in zip(names, rows, strict=True):
        yield f"{name:{room}}  {row.passed:2}/{len(exercises):<2}" + (
            "    " + _letters(row, exercises) if letters else ""
        )
    if letters:
        last = f", …, {exercises[-1].name}" if len(exercises) > 1 else ""
        yield from textwrap.wrap(f"in the order {exercises[0].name}{last}; {_legend(rows)}", width)
    for exercise in exercises:
        yield from (_cut(line, width) for line in _failures(rows, exercise))


def _letters(row: Row, exercises: Sequence[Exercise]) -> str:
    letters = [_LETTERS.get(row.marks[each.name].what, _OTHER) for each in exercises]
    return " ".join("".join(letters[i : i + 5]) for i in range(0, len(letters), 5))


def _legend(rows: Sequence[Row]) -> str:
    there = {mark.what for row in rows for mark in row.marks.values()}
    known = [f"{letter} {what}" for what, letter in _LETTERS.items() if what in there]
    others = sorted(there - _LETTERS.keys())
    return ", ".join(known + ([f"{_OTHER} {' or '.join(others)}"] if others else []))


def _failures(rows: Sequence[Row], exercise: Exercise) -> list[str]:
    """How many failed an exercise, and what most of them were told: the mistake, where it is known."""
    marks = [row.marks[exercise.name] for row in rows]
    told = Counter(mark.mistake or _LINE.sub("", mark.sentence) for mark in marks if mark.what not in (PASSED, MISSING))
    if not told:
        return []
    (sentence, count), *_ = told.most_common(1)
    share = "" if count == told.total() else f"{count} of them: "
    return [f"{exercise.name}: {told.total()} failed; {share}{sentence}"]


def _cut(text: str, width: int) -> str:
    line = _one_line(text)
    return line if len(line) <= width else line[: width - 1] + "…"
