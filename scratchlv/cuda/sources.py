"""Where the CUDA C files stand, beside the rooms' Python: they are read as files, and nothing of a room is imported."""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path

_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"', re.MULTILINE)


def sources() -> list[Path]:
    """All CUDA C files of the project's rooms."""
    return sorted(path for folder in _folders() for path in folder.glob("*/*.cu"))


@functools.cache
def headers() -> Path:
    """The folder of the headers that CUDA C files include."""
    return next(path for path in (folder / "building_blocks" for folder in _folders()) if path.is_dir())


def read_source(path: Path) -> str:
    """The text of a CUDA C file, and before it that of each of our headers that it includes: they may hold kernels, too."""
    found: dict[Path, str] = {}

    def read(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        for name in _INCLUDE.findall(text):
            header = headers() / name
            if header not in found and header.is_file():
                read(header)
        found[path] = text

    read(path)
    return "\n".join(found.values())


def _folders() -> list[Path]:
    """Those that hold rooms: one in a wheel; two in a checkout, the second of which holds all."""
    return [Path(folder) for folder in importlib.import_module("scratchlv.kernels").__path__]
