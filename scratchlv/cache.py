"""Where what was computed once is kept: compiled kernels, features of photographs."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def cache_folder() -> Path:
    """``$SCRATCHLV_CACHE``, or else ``~/.cache/scratchlv``."""
    named = os.environ.get("SCRATCHLV_CACHE")
    return Path(named).expanduser() if named else Path("~/.cache/scratchlv").expanduser()


def folder_for(*names: str) -> Path | None:
    """The folder of these names below :func:`cache_folder`, made if need be; None if nothing can be written there."""
    folder = cache_folder().joinpath(*names)
    return folder if can_write(folder) else None


def can_write(folder: Path) -> bool:
    """Whether files can be written to a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def alone_in(folder: Path, while_waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Of all processes that come in here for this folder, one at a time; a killed one is out.

    ``while_waiting()`` is called now and then. Where the system has no such lock, everybody is let in.
    """
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        yield
        return
    try:
        wait = 0.01
        while _is_taken(lock):
            while_waiting()
            time.sleep(wait)
            wait = min(2 * wait, 0.5)
        yield
    finally:
        os.close(lock)


def _is_taken(lock: int) -> bool:
    """Whether another process has the lock; if not, this one has it now."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False
