"""What a learner's file may not do while it is checked: the hook that Python's own audit events go through.

It keeps a file from harming anything by accident, and from passing by what is not its own work; and it says in a sentence what
was refused. It is no sandbox: native code goes past it (:mod:`scratchlv.exercises.fence` holds that, where there is one). The
file needs Python alone: the learner's process loads it without the package.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterator, Sequence
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
        "textwrap",
        "time",
        "types",
        "typing",
        "warnings",
    ]  # fmt: skip
)
_STARTS = (
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.exec",
    "os.system",
    "subprocess.Popen",
    "pty.spawn",
)
_SIGNALS = ("os.kill", "os.killpg", "signal.pthread_kill")
_CHANGES = (
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate", "os.utime",
    "os.setxattr", "os.removexattr", "os.chflags", "os.lockf", "sqlite3.connect", "shutil.rmtree", "shutil.move",
    "shutil.copyfile",
)  # fmt: skip
_NETWORK = (
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "socket.sendmsg",
)
_NATIVE = ("ctypes.dlopen", "ctypes.dlsym", "ctypes.cdata", "code.__new__")
_LOOKS = ("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.addaudithook", "sys._current_frames")
_OF_OS = ("mkfifo", "mknod", "setsid", "setpgid", "setpgrp", "chroot", "nice", "setpriority", "pidfd_open")
#: What makes no event, and no exercise needs: module and name.
SILENT = (
    *((module, name) for module in ("os", "posix") for name in _OF_OS),
    ("signal", "pidfd_send_signal"),
    ("_signal", "pidfd_send_signal"),
)
_STARTERS = ("_posixsubprocess", "_multiprocessing")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_A_FOLDER, _TYPE = 0o040000, 0o170000


class Forbidden(PermissionError):
    """The file did what it may not."""


def install(
    hidden: Sequence[str] = (),
    foreign: Sequence[str] = (),
    *,
    readable: Sequence[str] = (),
    writable: str = "",
    native: bool = False,
    processes: bool = False,
) -> list[str]:
    """Refuse, from here on to the end of the process; the list that fills with what was refused.

    Code that catches the exception is told of it all the same.

    Args:
        hidden: folders and files that cannot be read: the solutions.
        foreign: packages that are not to be imported by anybody: those that would do the exercise.
        readable: files that can be read although their folder is hidden.
        writable: the one folder that can be written; none if empty.
        native: whether libraries can be loaded (a compiler's, say).
        processes: whether processes can be started, and ended.
        own: files that can be read though they lie among the hidden ones: the learner's file, and what launches its kernels.
    """
    refused: list[str] = []
    sys.addaudithook(_hook(refused, _places(hidden, readable), tuple(foreign), writable, native, processes))
    for name in foreign:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # which Python takes for a package that is not there
    for module, name in () if native else SILENT:
        if hasattr(sys.modules.get(module), name):
            setattr(sys.modules[module], name, _refusing(refused, f"calls {module}.{name}"))
    return refused


def _refusing(refused: list[str], what: str) -> Callable[..., Any]:
    def refusing(*arguments: Any, **more: Any) -> Any:
        refused.append(what)
        raise Forbidden(_sentence(what))

    return refusing


def _sentence(what: str) -> str:
    return f"the file {what}, which it may not while it is checked"


def _hook(
    refused: list[str], hidden: frozenset, foreign: tuple[str, ...], writable: str, native: bool, processes: bool
) -> Callable[[str, tuple], None]:
    """The hook. It uses names of its own alone, bound here: what a file does to a module or to builtins does not reach it."""
    stat, text, exact, whole, kind, has, either = os.stat, str, str.__str__, int, type, isinstance, any
    texts, problems = (str, bytes), (OSError, ValueError)
    changes, signals, network, code, looks, starts = _CHANGES, _SIGNALS, _NETWORK, _NATIVE, _LOOKS, _STARTS
    writing, folder, mask, within, forbidden = _WRITING, _A_FOLDER, _TYPE, _within, Forbidden
    nothing, of_processes, sentence = _identity(os.devnull), _device("/proc"), _sentence
    packages = tuple(os.path.join(each, name, "") for each in sys.path for name in foreign)
    own = ("/proc/self/maps", "/proc/self/statm", "/proc/self/status", "/proc/cpuinfo", "/proc/meminfo")
    unwanted = (*foreign, *(() if native else _STARTERS))
    libraries = tuple({os.path.realpath(each) for each in (sys.base_prefix, sys.prefix, *sys.path) if each})

    def refuse(what: str) -> None:
        refused.append(what)
        raise forbidden(sentence(what))

    def opened(path: Any, mode: Any, flags: Any) -> None:
        if path is None or kind(path) is whole:
            return
        if not has(path, texts):
            refuse("opens a file by a name that is no text")
        shown = exact(path) if has(path, text) else "a file"
        try:
            found = stat(path)
        except problems:
            found = None
        place = None if found is None else (found.st_dev, found.st_ino)
        if shown.startswith(packages):
            refuse(f"imports what would do the exercise ({shown})")
        if place in hidden:
            refuse("reads the solution, or the grader")
        writes = (kind(flags) is whole and flags & writing) or either(each in exact(mode or "") for each in "wax+")
        if writes and place != nothing and not within((path,), writable):
            refuse(f"writes {shown}")
        if found is not None and not native and found.st_mode & mask == folder:
            refuse("opens a folder")
        if found is not None and not native and found.st_dev == of_processes and shown not in own:
            refuse(f"reads {shown}")

    def imported(name: Any, file: Any) -> None:
        if exact(name).partition(".")[0] in unwanted:
            refuse(f"imports {exact(name)}")
        if has(file, text) and not native and not exact(file).startswith(libraries):
            refuse("loads native code")

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            opened(arguments[0], arguments[1], arguments[2])
        elif event == "import":
            imported(arguments[0], arguments[1])
        elif event in changes:
            if not within(arguments, writable):
                refuse(f"changes files ({event})")
        elif event in network:
            refuse("uses the network")
        elif event in looks and not native:
            refuse(f"looks into the grader ({event})")
        elif event in code and not native:
            refuse("loads native code")
        elif event in signals and not processes:
            refuse("sends signals to processes")
        elif event in starts and not processes:
            refuse(f"starts another process ({event})")

    return hook


def _places(hidden: Sequence[str], readable: Sequence[str]) -> frozenset:
    """What the files and folders are to the system, by whichever name they are opened."""
    found = {_identity(each) for folder in hidden for each in (folder, *_below(folder))}
    return frozenset(found - {_identity(each) for each in readable} - {None})


def _below(folder: str) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        yield from (os.path.join(here, name) for name in (*folders, *files))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _device(path: str) -> int | None:
    found = _identity(path)
    return None if found is None else found[0]


def _within(arguments: Sequence[Any], folder: str) -> bool:
    """Whether the paths among the arguments are of the folder, and there are any."""
    if not folder:
        return False
    paths = [os.path.realpath(os.fsdecode(each)) for each in arguments if isinstance(each, str | bytes | os.PathLike)]
    return bool(paths) and all(path == folder or path.startswith(folder + os.sep) for path in paths)


def own_builtins(refused: list[str], allowed: frozenset[str]) -> dict[str, Any]:
    """Python's builtins with an ``import`` for what an exercise may use, for the learner's module alone."""
    whole = builtins.__import__

    def guarded(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level or top not in allowed:
            refused.append(f"imports {name or '.'}")
            raise ImportError(
                f"an exercise is one file and does without {name or 'others'}; it may import {_list(allowed)}"
            )
        return whole(name, globals, locals, fromlist, level)

    return vars(builtins) | {"__import__": guarded}


def _list(allowed: frozenset[str]) -> str:
    return ", ".join(sorted(allowed - STANDARD)) + " and what computes of the standard library (math, itertools, …)"
