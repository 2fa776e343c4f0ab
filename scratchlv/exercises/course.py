"""A course: exercises in their order. The built-in one, a folder of somebody's own, or a zip that a teacher has handed out."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scratchlv.cache import folders_for
from scratchlv.errors import UserError
from scratchlv.exercises.exercise import Exercise, read

BUILT_IN = Path(__file__).resolve().parent / "course"
CONTENTS = "course.json"  # in an exported zip, the digests of the others
_AGAIN = "get it again from where you have it"
_LARGEST = 500 << 20  # bytes that a zip may unpack to
_MOST_FILES = 5000


@dataclass(frozen=True)
class Course:
    """Exercises, in order; ``where`` is the folder or zip that was asked for, None for the built-in one."""

    exercises: tuple[Exercise, ...]
    where: Path | None = None

    def __iter__(self) -> Iterator[Exercise]:
        return iter(self.exercises)

    def __len__(self) -> int:
        return len(self.exercises)

    def find(self, name: str) -> Exercise:
        """The exercise of a name, of a number (``7``), or of its file (``07_masked_mean.py``).

        Raises:
            UserError: there is none, with the nearest names.
        """
        stem = Path(name).stem if name.endswith((".py", ".cu")) else name
        number, _, rest = stem.partition("_")
        wanted = rest if number.isdigit() and rest else stem
        for each in self.exercises:
            if each.name == wanted or (stem.isdigit() and each.order == int(stem)):
                return each
        raise UserError(f"there is no exercise {name!r}; {self._nearest(wanted)}")

    def _nearest(self, name: str) -> str:
        names = [each.name for each in self.exercises]
        near = (
            difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            or [each for each in names if name and name in each][:3]
        )
        return f"the nearest are {', '.join(near)}" if near else "scratchlv exercise list shows all"


def open_course(where: Path | None = None) -> Course:
    """
    Raises:
        UserError: there is no course at ``where``, or an exercise of it is incomplete.
    """
    if where is None:
        return Course(_exercises(BUILT_IN))
    if not where.exists():
        raise UserError(f"{where}: there is no such course; give a folder of exercises, or a zip")
    folder = where if where.is_dir() else _unpacked(where)
    found = _exercises(folder)
    if not found:
        raise UserError(f"{where} holds no exercise: each is a folder with an exercise.toml")
    return Course(found, where)


def _exercises(folder: Path) -> tuple[Exercise, ...]:
    if (folder / "exercise.toml").is_file():  # one exercise by itself
        return (read(folder),)
    found = [read(path.parent) for path in sorted(folder.glob("*/exercise.toml"))]
    return tuple(sorted(found, key=lambda each: (each.order, each.name)))


def _unpacked(path: Path) -> Path:
    """The folder that a zip was unpacked to, once for each content."""
    if not path.is_file():
        raise UserError(f"{path} is neither a folder nor a file: give a folder of exercises, or a zip")
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path} has more bytes than a course needs")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    for folder in (kept / digest for kept in folders_for("courses")):
        if folder.is_dir():
            return folder
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    try:
        _unpack(path, partial)
        _compare_digests(path, partial)
        if not folder.is_dir():  # another process may have made it meanwhile
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            if len(entries) > _MOST_FILES or sum(each.file_size for each in entries) > _LARGEST:
                raise UserError(f"{path} unpacks to more than a course needs ({len(entries)} files)")
            file.extractall(folder)  # which keeps to the folder, whatever the names are
    except zipfile.BadZipFile as error:
        if zipfile.is_zipfile(path):
            raise UserError(f"{path} is damaged ({error}): {_AGAIN}") from None
        raise UserError(
            f"{path} is no zip, or a part of one: {_AGAIN}, or give one that scratchlv exercise dev export has made"
        ) from None
    except (zlib.error, EOFError, ValueError, OSError) as error:  # OSError: a file where a folder should be
        raise UserError(f"{path} is damaged ({error}): {_AGAIN}") from None
    except (NotImplementedError, RuntimeError) as error:  # another compression; a password
        raise UserError(
            f"{path} cannot be unpacked: {error}; give one that scratchlv exercise dev export has made"
        ) from None


def _compare_digests(path: Path, folder: Path) -> None:
    """Of an exported course: is each file what it was? (Whoever zips a folder by hand has no digests.)

    Raises:
        UserError: one is not.
    """
    contents = folder / CONTENTS
    if not contents.is_file():
        return
    try:
        digests = dict(json.loads(contents.read_text("utf-8"))["files"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: its {CONTENTS} is damaged; {_AGAIN}") from None
    there = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()} - {CONTENTS}
    for name in sorted(there | digests.keys()):
        if name not in there:
            raise UserError(f"{path} lacks {name}, which it was exported with; {_AGAIN}")
        if name not in digests:
            raise UserError(f"{path} holds {name}, which it was not exported with; {_AGAIN}")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digests[name]:
            raise UserError(f"{path}: {name} is not what was exported; {_AGAIN}")
