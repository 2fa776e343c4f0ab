"""Doing something again whenever one of some files is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

from scratchlv.output import unread

PAUSE = 0.2  # seconds between looks at the files

Stamp = tuple[int, int, int] | None


def watch(once: Callable[[], set[Path]], first: Callable[[], set[Path]], name: str, out: TextIO) -> int:
    """Call ``once`` now, and after every change of the files that it returns; ``first`` has those known beforehand.

    It ends by KeyboardInterrupt, or with 0 once nobody reads ``out`` any more. A heading with the time parts one run from
    the next.
    """
    before = stamps(first())
    while not unread(out):
        print(heading(name), file=out, flush=True)
        files = once()
        before = stamps(files) | {path: stamp for path, stamp in before.items() if path in files}
        print("waiting for a change; Ctrl-C ends", file=out, flush=True)
        before = wait_for_change(before)
    return 0


def heading(name: str) -> str:
    return f"\n--- {time.strftime('%H:%M:%S')} {name} {'-' * max(3, 60 - len(name))}"


def wait_for_change(before: dict[Path, Stamp], pause: float = PAUSE) -> dict[Path, Stamp]:
    """Returns when a file is another than its stamp says, and is whole: its stamps from then.

    An editor may remove a file and write it anew, or write it in several goes: it is waited until there are no more changes.
    """
    while not _written(before, after := stamps(before)):
        time.sleep(pause)
    while True:
        time.sleep(pause / 4)
        settled = stamps(before)
        if settled == after:
            return after
        after = settled


def _written(before: dict[Path, Stamp], after: dict[Path, Stamp]) -> bool:
    return any(stamp != before[path] and stamp is not None for path, stamp in after.items())


def stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    """By file, what changes when it is saved; None if there is none."""
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
