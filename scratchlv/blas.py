"""The OpenBLAS that NumPy has loaded, if it is that: what it is asked, and how many threads it takes."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def openblas(function: str, result: Any, *arguments: Any) -> Any:
    """Call a function of OpenBLAS; None where there is none."""
    found = _function(function)
    if found is None:
        return None
    found.restype = result
    return found(*arguments)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Matrix products take one thread: of small matrices they are faster, and other processes do not hold them up."""
    before = openblas("get_num_threads", ctypes.c_int)
    if before is None or before == 1:
        yield
        return
    openblas("set_num_threads", None, 1)
    try:
        yield
    finally:
        openblas("set_num_threads", None, before)


@functools.cache
def _function(function: str) -> Any:
    """By its name, which depends on how the library was built."""
    np.dot(np.ones((2, 2)), np.ones((2, 2)))
    for path in libraries("openblas"):
        library = ctypes.CDLL(path)
        for name in (f"{p}openblas_{function}{s}" for p in ("scipy_", "") for s in ("64_", "_64", "")):
            found = getattr(library, name, None)
            if found is not None:
                return found
    return None


def libraries(word: str) -> list[str]:
    """Shared libraries of this process with ``word`` in their file names."""
    maps = Path("/proc/self/maps")
    if maps.exists():
        paths = {line.split(maxsplit=5)[-1] for line in os.fsdecode(maps.read_bytes()).splitlines() if "/" in line}
    else:
        root = Path(np.__file__).parent
        paths = {str(p) for folder in (root.parent / "numpy.libs", root / ".dylibs") for p in folder.glob("*")}
    return sorted(path for path in paths if word in Path(path).name)
