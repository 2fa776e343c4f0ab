"""Whose folders are to be graded, and which files in them are exercises. No folder is trusted, or walked through to its end."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scratchlv.errors import UserError
from scratchlv.exercises.exercise import HEAD, Exercise, Mark, mark_in

MOST_ENTRIES = 5000  # of a student's folder that are looked at
MOST_STUDENTS = 5000
_DEEPEST = 3  # folders below a student's
_MOST_HEADS = 500  # files whose first line is read
_SUFFIXES = (".py", ".cu", ".txt")  # a browser may add .txt


@dataclass(frozen=True)
class Student:
    name: str
    folder: Path


@dataclass
class Found:
    """By exercise, the file; and what is to be said of the folder."""

    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def students(folders: Sequence[Path], exercises: Sequence[Exercise]) -> tuple[list[Student], list[str]]:
    """The students, by name, and a sentence for each folder that says what it was taken for.

    A folder with an exercise's file in it is a student's. One without, in which folders have such files, holds students' folders.

    Raises:
        UserError: one is no folder, or cannot be read.
    """
    found, said = [], []
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            reason = "is a file: give the folder that it is in" if folder.exists() else "there is no such folder"
            raise UserError(f"{folder}: {reason}" if "no such" in reason else f"{folder} {reason}")
        below = _students_in(folder, exercises, alone=len(folders) == 1)
        found += [Student(_name(each), each) for each in below or [folder]]
        if below:
            said.append(
                f"{folder} holds {len(below)} folder{'s' if len(below) > 1 else ''}: each is taken for a student's"
            )
        elif len(folders) == 1:
            said.append(f"{folder} is taken for one student's folder")
    return sorted(_told_apart(found), key=lambda each: each.name), said


def _students_in(folder: Path, exercises: Sequence[Exercise], alone: bool) -> list[Path]:
    """The folders in a folder that are students'; none if it is itself a student's."""
    if find(folder, exercises, deepest=0).files:
        return []
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not _is_passed_over(entry.name):
                below.append(Path(entry.path))
            if len(below) > MOST_STUDENTS:
                raise UserError(
                    f"{folder} holds more than {MOST_STUDENTS:,} folders: give the students' folders themselves"
                )
    if alone:
        return below
    with_files = (each for each in below if find(each, exercises).files)
    return below if next(with_files, None) and next(with_files, None) else []


def _told_apart(found: list[Student]) -> list[Student]:
    """Students whose folders have the same name get that of the folder above before it."""
    names = [each.name for each in found]
    return [
        Student(f"{_name(each.folder.resolve().parent)}/{each.name}", each.folder)
        if names.count(each.name) > 1
        else each
        for each in found
    ]


def _name(folder: Path) -> str:
    return os.fsencode(folder.name or folder.resolve().name).decode("utf-8", "replace")


# --- a student's files ------------------------------------------------------------------------------------------------


def find(folder: Path, exercises: Sequence[Exercise], deepest: int = _DEEPEST) -> Found:
    """The file of each exercise: of its name, else with its first line (renamed, say); the one that is nearest to the top."""
    found = Found()
    named = {each.file_name.lower(): each.name for each in exercises}
    others: list[Path] = []
    for each in exercises:  # whatever else is in the folder, and however much
        if os.path.lexists(folder / each.file_name):
            found.files[each.name] = folder / each.file_name
    for entry in _entries(folder, deepest, found.notes):
        path = Path(entry.path)
        name = named.get(entry.name.lower())
        if name is None and path.suffix in _SUFFIXES:
            others.append(path)
        elif name is not None and name not in found.files:
            found.files[name] = path
        elif name is not None and found.files[name] != path:
            found.notes.append(f"{_below(path, folder)} is not graded: {_below(found.files[name], folder)} is")
    _find_renamed(folder, exercises, others, found)
    _look_at_marks(folder, exercises, found)
    return found


def _entries(folder: Path, deepest: int, notes: list[str]) -> Iterator[os.DirEntry[str]]:
    """The files of a folder and of those below, those at the top first. Links are not followed, so there is no loop."""
    waiting, left = deque([(folder, 0)]), MOST_ENTRIES
    while waiting:
        here, depth = waiting.popleft()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        notes.append(
                            f"more than {MOST_ENTRIES:,} files: only so many were looked at, and the names at the top"
                        )
                        return
                    if not entry.is_dir(follow_symlinks=False):
                        yield entry
                    elif depth < deepest and not _is_passed_over(entry.name):
                        waiting.append((Path(entry.path), depth + 1))
        except OSError as error:
            notes.append(f"{_below(here, folder)} cannot be read: {error.strerror}")


def _is_passed_over(name: str) -> bool:
    return name.startswith((".", "__")) or name in ("node_modules", "site-packages")


def _find_renamed(folder: Path, exercises: Sequence[Exercise], others: list[Path], found: Found) -> None:
    """Of the exercises that no file is named after, those that a file's first line names; of several, the one saved last."""
    missing = {each.name for each in exercises} - found.files.keys()
    if not missing:
        return
    named: dict[str, list[Path]] = {}
    for path in others[:_MOST_HEADS]:
        mark = _mark(path)
        if mark is not None and mark.name in missing:
            named.setdefault(mark.name, []).append(path)
    for name, paths in named.items():
        found.files[name] = max(paths, key=lambda path: path.lstat().st_mtime)
        note = f"{_below(found.files[name], folder)} is taken for {name}, by its first line"
        found.notes.append(f"{note}: of {len(paths)}, it was saved last" if len(paths) > 1 else note)


def _look_at_marks(folder: Path, exercises: Sequence[Exercise], found: Found) -> None:
    for exercise in exercises:
        path = found.files.get(exercise.name)
        mark = _mark(path) if path is not None else None
        if path is None or mark is None or mark == (exercise.name, exercise.version):
            continue
        if mark.name != exercise.name:
            found.notes.append(f"{_below(path, folder)} is graded as {exercise.name}; its first line says {mark.name}")
        else:
            found.notes.append(
                f"{_below(path, folder)} was begun from version {mark.version}, and {exercise.version} is the one now"
            )


def _mark(path: Path) -> Mark | None:
    """Which exercise a file says that it is."""
    try:
        return mark_in(read_bounded(path, HEAD))
    except (OSError, UserError):
        return None


def read_bounded(path: Path, most: int) -> bytes:
    """The beginning of a student's file.

    Raises:
        UserError: it is a link, to somebody else's work perhaps, or no file.
        OSError: it cannot be read.
    """
    if path.is_symlink():
        raise UserError(f"{path.name} is a link: the file itself is wanted")
    if not stat.S_ISREG(path.lstat().st_mode):
        raise UserError(f"{path.name} is no file")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        return file.read(most)


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path != folder else "the folder"
