"""What a learner has done, kept in a file of the folder: begun, tried, passed; which hints were taken."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from scratchlv.cache import alone_in
from scratchlv.errors import UserError
from scratchlv.training.checkpoint import write_json_atomically

FILE = ".scratchlv-exercises.json"
_VERSION = 1
_ANEW = "rename it, and the count begins anew; your files stay"


@dataclass
class Record:
    """Of one exercise. Times are seconds since 1970, 0 where it has not come to that."""

    file: str = ""
    begun: float = 0.0
    attempts: int = 0
    passed: float = 0.0
    hints: int = 0
    line_hints: int = 0
    revealed: bool = False  # the solution, before it was passed
    failed: str = ""  # the stage at which the last attempt failed


@dataclass
class Progress:
    """Of all exercises of a folder."""

    course: str = ""  # where it is, if it is not the built-in one
    current: str = ""
    records: dict[str, Record] = field(default_factory=dict)

    def of(self, name: str) -> Record:
        return self.records.setdefault(name, Record())

    def has_passed(self, name: str) -> bool:
        return name in self.records and bool(self.records[name].passed)

    @property
    def passed(self) -> int:
        return sum(bool(each.passed) for each in self.records.values())


def read(folder: Path) -> Progress:
    """What is kept in a folder; nothing where there is no file.

    Raises:
        UserError: the file is damaged, or of a later version.
    """
    path = folder / FILE
    try:
        said = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Progress()
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): {_ANEW}") from None
    return _parsed(said, path)


def _parsed(said: Any, path: Path) -> Progress:
    try:
        if said["version"] > _VERSION:
            raise UserError(f"{path} is from a later scratchlv: update scratchlv, or use another folder")
        known = {each.name for each in fields(Record)}
        records = {
            name: Record(**{key: value for key, value in each.items() if key in known})
            for name, each in said["exercises"].items()
        }
        return Progress(str(said["course"]), str(said["current"]), records)
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is not what scratchlv writes: {_ANEW}") from None


@contextlib.contextmanager
def changing(folder: Path, notes: list[str]) -> Iterator[Progress]:
    """The progress, to be changed, and then written whole. Where nothing can be written, a note says so.

    Two that change it at once, in two windows with ``--watch`` say, take turns.
    """
    with alone_in(folder):
        progress = read(folder)
        yield progress
        said = {"version": _VERSION, "course": progress.course, "current": progress.current}
        said["exercises"] = {name: asdict(record) for name, record in progress.records.items()}
        try:
            write_json_atomically(folder / FILE, said)
        except UserError as error:
            notes.append(f"the progress is not kept: {error}")


def now() -> float:
    return round(time.time(), 1)
