"""Named results of one class of machines, in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scratchlv.bench import machine
from scratchlv.bench.rows import Row
from scratchlv.cache import alone_in, can_write
from scratchlv.errors import UserError
from scratchlv.training.checkpoint import write_json_atomically

FORMAT = 1
_KEYS = ("processor", "cores", "threads", "vector_width")  # machines that agree in these are of one class


def key(here: dict[str, Any]) -> str:
    """The class of a machine, in words."""
    return f"{here['processor']}, {here['cores']} cores, {here['threads']} threads, vectors of {here['vector_width']} floats"


def read(path: Path, here: dict[str, Any]) -> dict[str, Any]:
    """The leaderboard in a file; an empty one where there is no such file.

    Raises:
        UserError: it cannot be read, is none, or is of another class of machines.
    """
    if not path.exists():
        return {"scratchlv_leaderboard": FORMAT, "machine": key(here), "entries": []}
    try:
        board = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"--leaderboard {path} cannot be read ({error.strerror}); give another file") from None
    except ValueError as error:
        raise UserError(f"--leaderboard {path} is damaged ({error}); move it away, or give another file") from None
    if not _is_one(board):
        raise UserError(f"--leaderboard {path} is no leaderboard of this version; give a file that --leaderboard wrote")
    if board["machine"] != key(here):
        raise UserError(
            f"--leaderboard {path} is of another machine ({board['machine']}), and this is {key(here)}: times of two machines "
            "cannot be compared; give another file"
        )
    return board


def _is_one(board: Any) -> bool:
    if not isinstance(board, dict) or board.get("scratchlv_leaderboard") != FORMAT:
        return False
    entries = board.get("entries")
    return isinstance(board.get("machine"), str) and isinstance(entries, list) and all(map(_is_entry, entries))


def _is_entry(entry: Any) -> bool:
    kinds = {"name": str, "operation": str, "shapes": str, "score": float, "ms": dict, "date": str, "file": str}
    return isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in kinds.items())


def entry(name: str, path: Path, rows: list[Row], here: dict[str, Any]) -> dict[str, Any]:
    """What a file says of a kernel: its score is the share of what the machine can attain, over all passes."""
    timed = [row for row in rows if row.warm]
    return {
        "name": name,
        "operation": timed[0].operation,
        "shapes": timed[0].shapes,
        "score": score(timed),
        "ms": {row.part: 1e3 * row.warm.median for row in timed if row.warm},
        "date": here["date"],
        "file": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    }


def score(rows: list[Row]) -> float:
    """The least time that all passes could take, over the time that they took."""
    return sum(row.least_seconds for row in rows) / sum(row.warm.median for row in rows if row.warm)


def add(path: Path, new: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    """Enter a result, and return the whole; of two with the same name, of the same operation, the better one stays.

    Raises:
        UserError: the file cannot be read or written, or is of another class of machines.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(path.parent):
        board = read(path, here)
        board["entries"] = [*_best([*board["entries"], new])]
        write_json_atomically(path, board)
    return board


def _best(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Sorted: of each operation and shape the highest score first, each name once."""
    seen = set()
    for each in sorted(entries, key=lambda each: (each["operation"], each["shapes"], -each["score"], each["date"])):
        which = each["operation"], each["shapes"], each["name"]
        if which not in seen:
            seen.add(which)
            yield each


def lines(board: dict[str, Any], operation: str) -> Iterator[str]:
    """The ranks of one operation, for people."""
    yield f"leaderboard, {board['machine']}:"
    ranked = [each for each in board["entries"] if each["operation"] == operation]
    width = max((len(each["name"]) for each in ranked), default=0)
    for rank, each in enumerate(ranked, 1):
        times = ", ".join(f"{part} {ms:.3g} ms" for part, ms in each["ms"].items())
        yield f"{rank:3}. {each['name']:{width}}  {each['score']:4.0%}  {times}  ({each['date'][:10]})"


def check(path: Path) -> None:
    """Before anything is timed.

    Raises:
        UserError: as :func:`read`, or its folder cannot be written to.
    """
    read(path, machine.describe())
    if not can_write(path.parent):
        raise UserError(f"--leaderboard {path} cannot be written; give another file")
