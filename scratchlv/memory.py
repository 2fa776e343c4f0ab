"""Arrays whose memory is used again: every training step makes the same large arrays, and new pages cost as much as a sweep.

:func:`empty` takes the place of ``np.empty`` in the kernels. When the last reference to an array, or to a view of it, goes
away, its memory comes back here and serves the next array of about its size. It begins on a cache line, as vector loads
like it.
"""

from __future__ import annotations

import bisect
import math
import sys
import threading
from typing import Any

import numpy as np

LARGE = 1 << 16  #: bytes; smaller arrays come from NumPy
CACHE_LINE = 64
_MOST_UNUSED = 1 << 31  # bytes that are kept at most for arrays to come


Block = tuple[int, int, np.ndarray]  # its bytes from a cache line on, the address of that line, and what owns them


class _Pool:
    """Blocks of memory that no array uses, ordered by size."""

    def __init__(self) -> None:
        self.unused: list[Block] = []
        self.unused_bytes = 0
        self.made = 0  # blocks asked from the system since the start
        self.lock = threading.RLock()  # an array may be collected while its own thread stands in here

    def take(self, size: int) -> Block:
        """A block of at least ``size`` bytes, and not many more."""
        with self.lock:
            at = bisect.bisect_left(self.unused, (size,))
            if at < len(self.unused) and self.unused[at][0] <= size + size // 2:
                block = self.unused.pop(at)
                self.unused_bytes -= block[0]
                return block
            self.made += 1
        owner = np.empty(size + CACHE_LINE, np.uint8)
        return size, -(-owner.ctypes.data // CACHE_LINE) * CACHE_LINE, owner

    def give_back(self, block: Block) -> None:
        with self.lock:
            bisect.insort(self.unused, block)
            self.unused_bytes += block[0]
            while self.unused_bytes > _MOST_UNUSED:
                self.unused_bytes -= self.unused.pop()[0]


_pool = _Pool()


class _Lease:
    """What an array stands on: its block returns to the pool when the array and all its views are gone."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, block: Block, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.block = block
        self.__array_interface__ = {"data": (block[1], False), "shape": shape, "typestr": dtype.str, "version": 3}

    def __del__(self) -> None:
        _pool.give_back(self.block)


def empty(shape: int | tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """A C-contiguous array whose content is undefined."""
    shape = (shape,) if isinstance(shape, int) else tuple(map(int, shape))
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(_pool.take(size), shape, dtype))


def empty_like(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """:func:`empty` of the shape and dtype of ``array``."""
    return empty(array.shape, array.dtype if dtype is None else dtype)


def zeros(shape: int | tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """:func:`empty`, filled with zeros."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def aligned_size(n: int, align: int) -> int:
    """``n``, and as many more as what follows must wait for its multiple of ``align``."""
    return -(-n // align) * align


def as_contiguous(array: Any, dtype: Any = None) -> Any:
    """``array``, of NumPy or CuPy, as kernels take it: C-contiguous, aligned, not marked read-only; copied only where it must be.

    Numba compiles a kernel again for read-only or misaligned arrays, which are other types to it. The kernels write to
    nothing but what they are told to write to.
    """
    if not isinstance(array, np.ndarray):
        return sys.modules["cupy"].ascontiguousarray(array, dtype)
    dtype = array.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned and array.dtype == dtype):
        copied = empty(array.shape, dtype)
        copied[...] = array
        return copied
    if not flags.writeable:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        return np.asarray(_View(interface, array))
    return array


class _View:
    """Another array on the memory of ``owner``."""

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, interface: dict[str, Any], owner: np.ndarray) -> None:
        self.__array_interface__, self.owner = interface, owner


def blocks_made() -> int:
    """How many blocks of memory were asked from the system so far: it stands still once a training has settled."""
    return _pool.made
