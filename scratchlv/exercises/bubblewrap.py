"""The learner's process shut in by bubblewrap, where that is installed: native code, too, finds no network, no home, no solution.

It sees the system, read-only, with Python. Homes, mounted disks, temporary files, students' folders and the course are
empty folders to it. It can write to its own folder alone, and nothing that it starts outlives it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_OTHERS = ("/tmp", "/var/tmp", "/home", "/root", "/mnt", "/media", "/srv", "/run")
_OPTIONS = (
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--unshare-all",
    "--die-with-parent",
    "--new-session",
)


def bubblewrap() -> tuple[str, ...]:
    """The command, if it is there and may be used (many containers forbid it); else nothing."""
    found = shutil.which("bwrap")
    if found is None:
        return ()
    command = (found, *_OPTIONS)
    tried = [*command, *mounts((), (), "/var/tmp"), sys.executable, "-I", "-c", "import numpy"]
    try:
        works = subprocess.run(tried, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    return command if works else ()


def mounts(hidden: Iterable[str], own: Iterable[str], scratch: str) -> list[str]:
    """The arguments for one process.

    Args:
        hidden: files and folders that are not to be seen.
        own: files that are, though they lie in there.
        scratch: the folder that can be written.
    """
    made: list[str] = []
    for folder in dict.fromkeys([*_OTHERS, os.path.expanduser("~")]):
        if os.path.isdir(folder) and not os.path.islink(folder):
            made += ["--tmpfs", folder]
    for folder in _of_python():
        made += ["--ro-bind", folder, folder]
    for path in map(os.path.realpath, hidden):
        if os.path.isdir(path):
            made += ["--tmpfs", path]
        elif os.path.exists(path):
            made += ["--ro-bind", os.devnull, path]
    for path in map(os.path.realpath, own):
        made += ["--ro-bind", path, path]
    return [*made, "--bind", scratch, scratch]


def _of_python() -> list[str]:
    """The folders of Python and this package, which may be in a home; those above others first."""
    of_executable = Path(os.path.realpath(sys.executable)).parent.parent
    package = Path(__file__).resolve().parents[1]
    checkout = [package.parent / name for name in ("pyproject.toml", "kernels")]  # where the rooms are, by both of them
    rooms = checkout if all(each.exists() for each in checkout) else []
    folders = {Path(sys.prefix), Path(sys.base_prefix), of_executable, package, *rooms}
    return sorted(str(each) for each in folders if each != Path("/"))


def inner(pid: int) -> int:
    """The process that bubblewrap, whose number is ``pid``, has started: its grandchild. ``pid`` itself where it is not known."""
    for _ in range(2):
        with contextlib.suppress(OSError, ValueError):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return pid
