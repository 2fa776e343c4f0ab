"""Arrays that all processes of one machine see: what lies there need not be sent, it is enough to say that it is there.

Each array is a file in the system's memory, mapped by all, and without a name from then on: whatever happens to the processes,
nothing is left of it.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from typing import Any

import numpy as np

from scratchlv.memory import aligned_size
from scratchlv.parallel.team import Memory

_FOLDER = "/dev/shm"  # of Linux: files that are in memory alone


def shared(team: Any, shape: tuple[int, ...], dtype: Any, common: bool) -> Memory | None:
    """Zeros of that shape for each process of ``team``, seen by all, or one array for all that is ``common``.

    None where the system has no such memory, or too little.
    """
    dtype, count = np.dtype(dtype), 1 if common else team.size
    size = aligned_size(max(1, math.prod(shape) * dtype.itemsize), mmap.ALLOCATIONGRANULARITY)
    name = team.broadcast(_new_file(size * count) if team.rank == 0 else None)
    try:
        arrays = None if name is None else _mapped(name, count, size, shape, dtype)
        everybody = team.exchange(arrays is not None)
    finally:
        if name is not None and team.rank == 0:
            os.unlink(name)
    if arrays is None or not all(everybody):
        return None
    arrays *= team.size // count
    return Memory(arrays[team.rank], arrays)


def _new_file(size: int) -> str | None:
    """The name of a file of so many zeros, whose memory is promised: a page that is not there would kill whoever writes to it."""
    try:
        number, name = tempfile.mkstemp(prefix="scratchlv-", dir=_FOLDER)
    except OSError:
        return None
    try:
        os.posix_fallocate(number, 0, size)
    except OSError:
        os.unlink(name)
        return None
    finally:
        os.close(number)
    return name


def _mapped(name: str, count: int, size: int, shape: tuple[int, ...], dtype: np.dtype) -> tuple[np.ndarray, ...] | None:
    """The ``count`` arrays in the file; None where it cannot be mapped."""
    with contextlib.suppress(OSError):
        number = os.open(name, os.O_RDWR)
        try:
            memory = mmap.mmap(number, count * size)
        finally:
            os.close(number)
        n = math.prod(shape)
        return tuple(np.frombuffer(memory, dtype, n, rank * size).reshape(shape) for rank in range(count))
    return None
