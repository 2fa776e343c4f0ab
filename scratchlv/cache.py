"""Where what was computed once is kept: compiled kernels, features of photographs."""

import contextlib
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scratchlv.shell import path_of


def cache_folder() -> Path:
    """``$SCRATCHLV_CACHE``, or else ``~/.cache/scratchlv``; for a user without a home a temporary folder.

    Raises:
        UserError: ``$SCRATCHLV_CACHE`` is below a home that is not known.
    """
    named = os.environ.get("SCRATCHLV_CACHE")
    if named:
        return path_of(named)
    try:
        return Path("~/.cache/scratchlv").expanduser()
    except RuntimeError:  # no HOME, and no such user in the system's list: a container, a service
        return temporary_folder()


def folders_for(name: str) -> list[Path]:
    """Where that is looked for which is kept as ``name`` below :func:`cache_folder`; what is new goes to the last."""
    return with_temporary(cache_folder() / name, name)


def with_temporary(folder: Path, name: str) -> list[Path]:
    """The folder, made if need be; and where nothing can be written there, a temporary one after it."""
    if can_write(folder):
        return [folder]
    with contextlib.suppress(OSError):
        temporary = temporary_folder() / name
        temporary.mkdir(parents=True, exist_ok=True)
        return [folder, temporary]
    return [folder]


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


def temporary_folder() -> Path:
    """A folder among the system's temporary ones that is this user's alone."""
    if not hasattr(os, "getuid"):
        return Path(tempfile.gettempdir(), "scratchlv")
    return _temporary(tempfile.gettempdir(), os.getuid())


@functools.cache
def _temporary(parent: str, user: int) -> Path:
    folder = Path(parent, f"scratchlv-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != user:  # anybody can make a folder there, and what it holds would be run
        return Path(tempfile.mkdtemp(prefix="scratchlv-"))
    return folder
