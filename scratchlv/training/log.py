"""A run's log, ``log.jsonl``: a line of JSON for each report, by the step it is of.

What a run has learned is in its checkpoints; the log only says how it went. So it is never a reason to stop: lines that are
damaged are passed over, one that stands twice counts once, and where nothing can be written training goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchlv.errors import UserError
from scratchlv.training import checkpoint

NAME = "log.jsonl"
Entry = dict[str, Any]


class Log:
    """The log in ``folder``; ``say`` is told once when it cannot be written."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.path, self._say = folder / NAME, say
        self._at_start_of_line = True
        self._failed = False

    def add(self, entry: Entry) -> None:
        """Write an entry behind the others."""
        line = json.dumps(entry) + "\n"
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line if self._at_start_of_line else "\n" + line)
            self._at_start_of_line = True
        except OSError as error:
            self._at_start_of_line = False
            self._fail(str(error.strerror or error))

    def rewind(self, step: int) -> None:
        """Leave out what comes after ``step``, and whatever cannot be read."""
        entries = read_log(self.path)
        text = "".join(json.dumps(entry) + "\n" for entry in entries if entry["step"] <= step).encode()
        try:
            if text != (self.path.read_bytes() if self.path.exists() else b""):
                checkpoint.write_atomically(self.path, text)
        except (OSError, UserError) as error:
            self._at_start_of_line = False  # the last line may be a part of one
            self._fail(str(error))

    def _fail(self, why: str) -> None:
        if not self._failed:
            self._failed = True
            self._say(f"{self.path} could not be written ({why}); training goes on without it")


def read_log(path: Path) -> list[Entry]:
    """The entries of a log in the order of their steps; of those of a step and kind that stand there twice the last."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    found: dict[tuple[int, bool, bool], Entry] = {}
    for line in lines:
        entry = _entry(line)
        if entry is not None:
            found[entry["step"], "communication" in entry, "validation" in entry] = entry
    return [found[key] for key in sorted(found)]


def _entry(line: bytes) -> Entry | None:
    """What a line says; None if it is damaged."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or type(entry.get("step")) is not int:
        return None
    validation = entry.get("validation", {})
    numbers = [entry["loss"]] if "loss" in entry else []
    if not isinstance(validation, dict) or not all(map(_is_finite, [*numbers, *validation.values()])):
        return None
    return entry


def _is_finite(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < math.inf
