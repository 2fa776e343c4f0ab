"""Each operation on files below a folder, one by one: told before it is carried out (so that it may fail), and after."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: what is told: the kind of operation, the path, and where it is renamed to or what is in the file now
Told = Callable[[str, str, Any], None]
CHANGES = ("open", "write", "fsync", "replace", "unlink", "mkdir", "rmdir")


def _nothing(kind: str, path: str, more: Any) -> None:
    pass


@contextmanager
def watched(folder: Path, before: Told = _nothing, after: Told = _nothing) -> Iterator[None]:
    """Inside the ``with`` block ``before`` and ``after`` are told of each operation that changes something below ``folder``."""
    root = os.path.realpath(folder)
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink", "mkdir", "rmdir")}
    real_open = io.open

    def is_ours(path: Any) -> bool:
        return os.path.realpath(os.fspath(path)).startswith(root)

    def open_(file: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("wax+") or not is_ours(file):
            return real_open(file, mode, *arguments, **more)
        path = os.path.realpath(os.fspath(file))
        before("open", path, mode)
        opened = real_open(file, mode, *arguments, **more)
        after("open", path, mode)
        return _Watched(opened, path, before, after)

    def fsync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if not path.startswith(root):
            real["fsync"](descriptor)
            return
        before("fsync", path, None)
        real["fsync"](descriptor)
        after("fsync", path, None)

    def wrapped(name: str) -> Callable:
        def operation(path: Any, *arguments: Any, **more: Any) -> None:
            if not is_ours(path):
                real[name](path, *arguments, **more)
                return
            said = os.path.realpath(os.path.dirname(os.fspath(path)) or ".") + "/" + os.path.basename(os.fspath(path))
            to = os.path.realpath(os.fspath(arguments[0])) if name == "replace" else None
            before(name, said, to)
            real[name](path, *arguments, **more)
            after(name, said, to)

        return operation

    builtins.open = io.open = open_  # type: ignore[assignment]
    os.fsync = fsync
    for name in ("replace", "unlink", "mkdir", "rmdir"):
        setattr(os, name, wrapped(name))
    try:
        yield
    finally:
        builtins.open = io.open = real_open  # type: ignore[assignment]
        for name, function in real.items():
            setattr(os, name, function)


class _Watched:
    """A file that tells what is written to it, and what is in it whenever that reaches the system."""

    def __init__(self, file: Any, path: str, before: Told, after: Told) -> None:
        self._file, self._path, self._before, self._after = file, path, before, after

    def write(self, data: Any) -> int:
        self._before("write", self._path, None)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
        self._tell()

    def truncate(self, size: int | None = None) -> int:
        self._before("write", self._path, None)
        size = self._file.truncate(size)
        self._tell()
        return size

    def close(self) -> None:
        self._file.close()
        self._tell()

    def _tell(self) -> None:
        if self._after is not _nothing and os.path.exists(self._path):
            with io.FileIO(self._path) as file:
                self._after("content", self._path, file.readall())

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
