"""What a learner's file may not do while it is checked: the hook that Python's own audit events go through.

It keeps a file from harming anything by accident, and from passing by what is not its own work. It is no sandbox: native code
goes past it. The file needs Python alone: the learner's process loads it without the package.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Sequence
from typing import Any

#: Of the standard library, what computes and touches nothing outside.
STANDARD = frozenset(
    [
        "__future__",
        "abc",
        "bisect",
        "cmath",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "decimal",
        "enum",
        "fractions",
    ]
    + [
        "functools",
        "heapq",
        "itertools",
        "math",
        "numbers",
        "operator",
        "pprint",
        "random",
        "re",
        "statistics",
        "string",
    ]
    + ["textwrap", "time", "types", "typing", "warnings"]
)
_PROCESSES = (
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.exec",
    "os.system",
    "subprocess.Popen",
    "pty.spawn",
)
_SIGNALS = ("os.kill", "os.killpg", "signal.pthread_kill")
_NATIVE = ("ctypes.dlopen", "ctypes.dlsym", "ctypes.cdata")
_FILES = (
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate", "os.utime",
    "os.setxattr", "os.removexattr", "os.chflags", "os.mkfifo", "os.mknod", "shutil.rmtree", "shutil.move", "shutil.copyfile",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Forbidden(PermissionError):
    """The file did what it may not."""


class Guard:
    """Refuses, and remembers what it refused: code that catches the exception is told of it all the same.

    Args:
        scratch: the one folder that can be written.
        hidden: folders and files that cannot be read: the solutions.
        foreign: packages that are not to be imported by anybody: those that would do the exercise.
        native: whether libraries can be loaded (a compiler's, say).
        processes: whether processes can be started, and ended.
    """

    def __init__(
        self,
        scratch: str,
        hidden: Sequence[str] = (),
        foreign: Sequence[str] = (),
        *,
        native: bool = False,
        processes: bool = False,
    ) -> None:
        self.refused: list[str] = []
        self._scratch = os.path.realpath(scratch)
        self._hidden = tuple(os.path.realpath(each) for each in hidden)
        self._foreign, self._native, self._processes = frozenset(foreign), native, processes
        self._open = False

    def install(self) -> None:
        """From here on to the end of the process."""
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple) -> None:
        if self._open:
            return
        self._open = True  # what follows may open files itself
        try:
            self._judge(event, arguments)
        finally:
            self._open = False

    def _judge(self, event: str, arguments: tuple) -> None:
        if event == "open":
            self._opened(*arguments)
        elif event == "import":
            if arguments[0].partition(".")[0] in self._foreign:
                self._refuse(f"imports {arguments[0]}")
        elif (
            event in _FILES or event.startswith(("os.exec", "os.spawn", "socket.")) or event in (*_PROCESSES, *_SIGNALS)
        ):
            self._acted(event, arguments)
        elif event in _NATIVE and not self._native:
            self._refuse("loads native code")

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        name = os.path.realpath(os.fsdecode(path))
        if _within(name, self._hidden):
            self._refuse("reads the solution")
        writes = isinstance(flags, int) and flags & _WRITING or any(letter in str(mode or "") for letter in "wax+")
        if writes and name != os.devnull and not _within(name, (self._scratch,)):
            self._refuse(f"writes {os.fsdecode(path)}")

    def _acted(self, event: str, arguments: tuple) -> None:
        if event in _FILES:
            paths = [
                os.path.realpath(os.fsdecode(each)) for each in arguments if isinstance(each, str | bytes | os.PathLike)
            ]
            if not paths or not all(_within(path, (self._scratch,)) for path in paths):
                self._refuse(f"changes files ({event})")
        elif event.startswith("socket."):
            if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
                self._refuse("uses the network")
        elif not self._processes:
            self._refuse("sends signals to processes" if event in _SIGNALS else f"starts another process ({event})")

    def _refuse(self, what: str) -> None:
        self.refused.append(what)
        raise Forbidden(f"the file {what}, which it may not while it is checked")


def _within(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


def own_builtins(guard: Guard, allowed: frozenset[str]) -> dict[str, Any]:
    """Python's builtins with an ``import`` for what an exercise may use, for the learner's module alone."""
    whole = builtins.__import__

    def guarded(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level or top not in allowed:
            guard.refused.append(f"imports {name or '.'}")
            raise ImportError(
                f"an exercise is one file and does without {name or 'others'}; it may import {_list(allowed)}"
            )
        return whole(name, globals, locals, fromlist, level)

    return vars(builtins) | {"__import__": guarded}


def _list(allowed: frozenset[str]) -> str:
    return ", ".join(sorted(allowed - STANDARD)) + " and what computes of the standard library (math, itertools, …)"
