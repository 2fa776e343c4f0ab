"""Rows of features on disk, one for each picture: as many as the disk holds, and few of them in memory.

    features.f16     float16, row after row
    rows.txt         the checksum of each row's picture, a line each

A row is a picture's features, known by the checksum of the picture's content. Rows are only ever added: first the row,
flushed to the disk, then its line. So whatever has a line is whole, whenever the process is killed, and a set of pictures
is nothing but a list of rows: a set that shares pictures with another takes no more space.

Rows are read from the file when they are asked for, not mapped into memory: the pages of a mapping count as the process's
own, and a disk that fails would end it without a word. Nor is a mapping faster: 31 kB from the page cache take 6 µs read,
8 µs mapped.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cache import alone_in
from scratchlv.errors import UserError
from scratchlv.memory import empty

DTYPE = np.dtype(np.float16)  # half of float32's bytes, and features are far from exact anyway
_LINE = 33  # bytes: a checksum in hexadecimal digits, and the end of the line
_CHECKSUM = re.compile(rb"[0-9a-f]{32}\n")


class FeatureStore:
    """The rows, each of ``shape``, in ``folder``, which is made if need be."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.folder, self.shape = folder, tuple(shape)
        self.file, self.list_file = folder / "features.f16", folder / "rows.txt"
        self.row_bytes = math.prod(self.shape) * DTYPE.itemsize
        folder.mkdir(exist_ok=True)
        for file in (self.file, self.list_file):
            if not file.exists():
                file.touch()

    def rows(self) -> dict[str, int]:
        """Checksum of a picture -> its row. A line that is damaged is that of no picture."""
        listed = self.list_file.read_bytes()
        lines = (listed[k * _LINE : (k + 1) * _LINE] for k in range(self._count()))
        return {line[:-1].decode(): k for k, line in enumerate(lines) if _CHECKSUM.fullmatch(line)}

    @contextmanager
    def adding(self, while_waiting: Callable[[], object]) -> Iterator[Callable[[Sequence[str], Array], None]]:
        """Gives ``add(checksums, features)``, to this process alone; what it was given is on the disk when it returns.

        ``while_waiting()`` is called now and then while another process adds rows.

        Raises:
            OSError: the disk is full, or the folder cannot be written; what was added before stays.
        """
        with (
            alone_in(self.folder, while_waiting),
            open(self.file, "r+b") as features,
            open(self.list_file, "r+b") as listed,
        ):
            count = self._count()
            features.truncate(count * self.row_bytes)  # a part of a row, or one without a line
            listed.truncate(count * _LINE)

            def add(checksums: Sequence[str], rows: Array) -> None:
                _append(features, np.ascontiguousarray(rows, DTYPE).tobytes())
                _append(listed, "".join(f"{checksum}\n" for checksum in checksums).encode())

            yield add

    def open(self, rows: Sequence[int]) -> Features:
        """The features in ``rows`` of the file, which stay there until they are read."""
        return Features(_File(self.file), self.shape, np.asarray(rows, np.int64))

    def _count(self) -> int:
        """Rows that are whole and have a line."""
        return min(self.file.stat().st_size // self.row_bytes, self.list_file.stat().st_size // _LINE)


class Features:
    """Features (n, …) float16 in a file: an index picks some and reads nothing, ``np.asarray`` reads them.

    So ``np.asarray(features[rows])`` has these rows in memory, and never more.
    """

    dtype = DTYPE

    def __init__(self, file: io.FileIO, shape: tuple[int, ...], rows: Array) -> None:
        self._file, self._rows = file, rows
        self.shape = (len(rows), *shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | Array) -> Features:
        """Those of a slice, or of an array of numbers."""
        return Features(self._file, self.shape[1:], self._rows[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """
        Raises:
            UserError: the disk failed, or the file was cut off.
        """
        out = empty(self.shape, DTYPE)
        try:
            for k, row in enumerate(self._rows.tolist()):
                self._file.seek(row * self._row_bytes)
                if self._file.readinto(out[k]) != self._row_bytes:
                    raise OSError("it was cut off")
        except OSError as error:
            problem = f"{self._file.name} cannot be read any more ({error.strerror or error})"
            raise UserError(f"{problem}; start again: features that are missing are made anew") from error
        return out if dtype is None else out.astype(dtype, copy=False)

    def _advise(self) -> None:
        for row in self._rows.tolist():
            os.posix_fadvise(self._file.fileno(), row * self._row_bytes, self._row_bytes, os.POSIX_FADV_WILLNEED)

    @property
    def _row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * DTYPE.itemsize


class _File(io.FileIO):
    """A file, to be read, that is closed with the last that refers to it."""

    def __del__(self) -> None:
        self.close()


def read_ahead(pictures: Array | Features, rows: Array) -> None:
    """Pictures that will be asked for soon: if they are on disk, the system is to fetch them while others are worked on.

    It is no more than advice, and not every system takes it.
    """
    if isinstance(pictures, Features) and hasattr(os, "posix_fadvise"):
        pictures[rows]._advise()


def _append(file: Any, data: bytes) -> None:
    file.seek(0, os.SEEK_END)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
