"""Questions about pictures: what the readers of DAQUAR, easy-VQA, VQA and CLEVR have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scratchlv.data.photographs import present_in
from scratchlv.data.text import first_few
from scratchlv.errors import UserError

_SIDE = re.compile(r"(?<![a-z])(left|right)(?=most|hand|ward|[^a-z]|$)")


def in_mirror(text: str) -> str:
    """What a text says of a picture that is seen in a mirror: "left" for "right", and "right" for "left"."""
    return _SIDE.sub(lambda side: "right" if side[0] == "left" else "left", text)


class Question(NamedTuple):
    """One question about one picture."""

    image: Path
    words: list[str]  # lower case, without punctuation and without the picture's name
    answer: str  # all that are right together, or the one most given; "" where none is known
    answers: tuple[str, ...]  # all that were given
    id: int = 0  # by which results name it
    type: str = ""  # of the question, where it is known: the commonest answer is looked for by type
    group: str = ""  # by which accuracy is told apart, where it is known


class Questions(NamedTuple):
    """The questions of each split, and the number of those left out because their picture is missing."""

    splits: dict[str, list[Question]]
    skipped: int = 0
    notes: tuple[str, ...] = ()  # what was made of the set, in sentences for the user
    missing: tuple[str, ...] = ()  # the pictures that are not there


def with_pictures(
    splits: dict[str, list[Question]], folder: Path, skip_missing: bool, notes: tuple[str, ...] = ()
) -> Questions:
    """The questions whose pictures, in a folder or in folders within it, are there.

    Raises:
        UserError: pictures are missing, and were not to be skipped; or no question is left of a split.
    """
    of: dict[Path, str] = {}  # the questions about a picture share its path
    for questions in splits.values():
        for question in questions:
            if question.image not in of:
                of[question.image] = question.image.relative_to(folder).as_posix()
    present = present_in(folder, of.values())
    missing = {path: name for path, name in of.items() if name not in present}
    names = tuple(sorted(missing.values()))
    refuse_missing_pictures(folder, names, len(of), skip_missing)
    kept = {split: [q for q in questions if q.image not in missing] for split, questions in splits.items()}
    for split, questions in kept.items():
        if not questions:
            raise UserError(f"{folder} has no picture that a question of {split} is about; copy the pictures there")
    return Questions(kept, sum(map(len, splits.values())) - sum(map(len, kept.values())), notes, names)


def refuse_missing_pictures(folder: Path, missing: Sequence[str], n: int, skip_missing: bool) -> None:
    """
    Raises:
        UserError: pictures are missing, of ``n``, and were not to be skipped.
    """
    if missing and not skip_missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of {n} pictures ({first_few(missing)}); "
            "copy them there, or go on without them by --skip-missing"
        )
