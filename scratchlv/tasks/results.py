"""What a run says of a whole split, in files that other programs judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scratchlv.errors import UserError
from scratchlv.parallel.team import team
from scratchlv.training import checkpoint


def check(file: Path, option: str = "--results") -> None:
    """Refuse a file that cannot be written, before the work begins; ``option`` is the one that it was given by.

    Raises:
        UserError: its folder is not there, or it is a folder itself.
    """
    if file.is_dir():
        raise UserError(f"{option} {file} is a folder; give the name of a file")
    if not file.parent.is_dir():
        raise UserError(f"{option} {file}: there is no folder {file.parent}; make it first")


def write_lines(file: Path, texts: Iterable[str]) -> None:
    """A text each line, in UTF-8; the file appears as a whole.

    Raises:
        UserError: it cannot be written.
    """
    whole = "".join(f"{' '.join(text.splitlines())}\n" for text in texts)
    team().first(lambda: checkpoint.write_atomically(file, whole.encode(errors="backslashreplace")))


def write(file: Path, key: str, ids: Sequence[int | str], name: str, texts: Iterable[str]) -> None:
    """A list of ``{key: id, name: text}``; the file appears as a whole.

    Raises:
        UserError: it cannot be written.
    """
    found: list[dict[str, Any]] = [{key: number, name: text} for number, text in zip(ids, texts, strict=True)]
    team().first(lambda: checkpoint.write_json_atomically(file, found))
