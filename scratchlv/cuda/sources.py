"""Where the CUDA C files stand, beside the rooms' Python: they are read as files, and nothing of a room is imported."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path


def sources() -> list[Path]:
    """All CUDA C files of the project's rooms."""
    return sorted(path for folder in _folders() for path in folder.glob("*/*.cu"))


@functools.cache
def headers() -> Path:
    """The folder of the headers that CUDA C files include."""
    return next(path for path in (folder / "building_blocks" for folder in _folders()) if path.is_dir())


def _folders() -> list[Path]:
    """Those that hold rooms: one in a wheel; two in a checkout, the second of which holds all."""
    return [Path(folder) for folder in importlib.import_module("scratchlv.kernels").__path__]
