"""What an exported exercise has in place of its solution: inputs, what should come of them, and what known mistakes make of them.

It is stored as a message of :mod:`scratchlv.exercises.wire`, which cannot run code when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlv.errors import UserError
from scratchlv.exercises import wire
from scratchlv.exercises.mistakes import Mistake

FILE = "expected.bin"
_FORMAT = 1


@dataclass(frozen=True)
class Record:
    """By seed, the fields of :class:`scratchlv.exercises.truth.Expected` of each case; and the sentences of the mistakes."""

    cases: dict[int, list[dict[str, Any]]]
    mistakes: list[Mistake]


def packed(cases: dict[int, list[dict[str, Any]]], mistakes: Iterable[Mistake]) -> bytes:
    """The bytes of the file."""
    said = [(each.name, each.stage, each.says) for each in mistakes]
    return wire.encode({"format": _FORMAT, "cases": cases, "mistakes": said})


def read_record(path: Path) -> Record:
    """
    Raises:
        UserError: it is damaged, or of another version of scratchlv.
    """
    try:
        said = wire.decode(path.read_bytes())
        if said["format"] != _FORMAT:
            raise UserError(f"{path} is of another version of scratchlv: install the one that your teacher has")
        cases = {int(seed): [dict(each) for each in of_seed] for seed, of_seed in said["cases"].items()}
        return Record(cases, [Mistake(*each) for each in said["mistakes"]])
    except (wire.Unreadable, KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path} is damaged: get the course again from where you have it") from None
