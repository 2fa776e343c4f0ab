"""Rows of features on disk, one for each picture: as many as the disk holds, and few of them in memory.

    features.f16     float16, row after row
    rows.sum         the sum of each row and its picture's checksum, eight bytes each
    rows.txt         the checksum of each row's picture, a line each

A row is a picture's features, known by the checksum of the picture's content. Rows are only ever added: first the row and its
sum, flushed to the disk, then its line. So whatever has a line is whole, whenever the process is killed, and a set of pictures
is nothing but a list of rows: a set that shares pictures with another takes no more space.

A disk may change a bit and say nothing. So the first time that a process reads a row it computes its sum; a row that has another
one is made anew, on the spot. Of the row's words w of 64 bits, the last filled up with zeros, and of those of the picture's
checksum,

    sum = Σ_i m_i w_i  mod 2^64        m_i: odd numbers, drawn once and for ever

An odd m has an inverse mod 2^64: no change within a word, nor one of up to 32 neighbouring bits that lie in two, leaves the sum
as it was. It is a product of a matrix and a vector: 3 µs for 31 kB, where zlib's CRC-32 took 9 to 20. What was kept before there
were sums is taken to be right: they are noted by the first process that may write.

Rows are read from the file when they are asked for, not mapped into memory: the pages of a mapping count as the process's
own, and a disk that fails would end it without a word. Nor is a mapping faster: 31 kB from the page cache take 6 µs read,
8 µs mapped.
"""

from __future__ import annotations

import functools
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cache import alone_in
from scratchlv.errors import UserError
from scratchlv.memory import empty

DTYPE = np.dtype(np.float16)  # half of float32's bytes, and features are far from exact anyway
_ID = 32  # bytes: a checksum in hexadecimal digits
_LINE = _ID + 1  # and the end of the line
_CHECKSUM = re.compile(rb"[0-9a-f]{32}\n")
_WORD = np.dtype("<u8")
_SUM = _WORD  # 0: there is none
_CHUNK = 1 << 19  # bytes that are read before they are checked: they are still in a cache

Remake = Callable[[str], Array]  # from a picture's checksum to its features


class FeatureStore:
    """The rows, each of ``shape``, in ``folder``, which is made if need be."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.folder, self.shape = folder, tuple(shape)
        self.file, self.list_file, self.sum_file = (folder / n for n in ("features.f16", "rows.txt", "rows.sum"))
        self.row_bytes = math.prod(self.shape) * DTYPE.itemsize
        folder.mkdir(exist_ok=True)
        for file in (self.file, self.list_file):
            if not file.exists():
                file.touch()

    def rows(self) -> dict[str, int]:
        """Checksum of a picture -> its row. A line that is damaged is that of no picture."""
        return {line[:-1].decode(): k for k, line in enumerate(self._lines()) if _CHECKSUM.fullmatch(line)}

    @contextmanager
    def adding(self, while_waiting: Callable[[], object]) -> Iterator[Callable[[Sequence[str], Array], None]]:
        """Gives ``add(checksums, features)``, to this process alone; what it was given is on the disk when it returns.

        ``while_waiting()`` is called now and then while another process adds rows.

        Raises:
            OSError: the disk is full, or the folder cannot be written; what was added before stays.
        """
        with (
            alone_in(self.folder, while_waiting),
            open(self.sum_file, "ab"),  # it is there from now on
            open(self.file, "r+b") as features,
            open(self.list_file, "r+b") as listed,
            open(self.sum_file, "r+b") as sums,
        ):
            count = self._count()
            features.truncate(count * self.row_bytes)  # a part of a row, or one without a line
            listed.truncate(count * _LINE)
            sums.truncate(count * _SUM.itemsize)  # or fills up with zeros

            def add(checksums: Sequence[str], rows: Array) -> None:
                rows = np.ascontiguousarray(rows, DTYPE)
                _append(features, rows.tobytes())
                _append(sums, _sums(rows, checksums).tobytes())
                _append(listed, "".join(f"{checksum}\n" for checksum in checksums).encode())

            yield add

    def lacks_sums(self) -> bool:
        """Whether some rows were kept before there were sums."""
        return not self._sums().all()

    def note_sums(self, while_waiting: Callable[[], object]) -> None:
        """Give those rows their sums, as they are now.

        Raises:
            OSError: the folder cannot be written.
        """
        with self.adding(while_waiting), open(self.file, "rb") as features:
            sums = self._sums()
            for row, checksum in enumerate(self._checksums()):
                content = np.frombuffer(features.read(self.row_bytes), DTYPE)
                sums[row] = sums[row] or _sums(content[None], [checksum])[0]
            _overwrite(self.sum_file, 0, sums.tobytes())

    def replace(self, row: int, checksum: str, features: Array, while_waiting: Callable[[], object]) -> None:
        """Write the features of a row anew.

        Raises:
            OSError: the folder cannot be written.
        """
        content = np.ascontiguousarray(features, DTYPE)
        with alone_in(self.folder, while_waiting):
            _overwrite(self.file, row * self.row_bytes, content.tobytes())
            _overwrite(self.sum_file, row * _SUM.itemsize, _sums(content[None], [checksum]).tobytes())

    def open(self, rows: Sequence[int], remake: Remake | None = None) -> Features:
        """The features in ``rows`` of the file, which stay there until they are read.

        ``remake`` makes those of a picture anew whose row is damaged; without it that is an error.
        """
        return Features(_Rows(self, remake), self.shape, np.asarray(rows, np.int64))

    def _lines(self) -> Iterator[bytes]:
        listed = self.list_file.read_bytes()
        return (listed[k * _LINE : (k + 1) * _LINE] for k in range(self._count()))

    def _checksums(self) -> list[str]:
        """Of each row's picture; of a line that is damaged something else."""
        return [line[:-1].decode(errors="replace") for line in self._lines()]

    def _sums(self) -> Array:
        """The sum of each row (n,), 0 where there is none."""
        sums, found = np.zeros(self._count(), _SUM), b""
        with suppress(FileNotFoundError):  # of a cache that was made before there were any
            found = self.sum_file.read_bytes()
        found = found[: min(len(found) // _SUM.itemsize, len(sums)) * _SUM.itemsize]
        sums[: len(found) // _SUM.itemsize] = np.frombuffer(found, _SUM)
        return sums

    def _count(self) -> int:
        """Rows that are whole and have a line."""
        return min(self.file.stat().st_size // self.row_bytes, self.list_file.stat().st_size // _LINE)


class Features:
    """Features (n, …) float16 in a file: an index picks some and reads nothing, ``np.asarray`` reads them.

    So ``np.asarray(features[rows])`` has these rows in memory, and never more.
    """

    dtype = DTYPE

    def __init__(self, source: _Rows, shape: tuple[int, ...], rows: Array) -> None:
        self._source, self._rows = source, rows
        self.shape = (len(rows), *shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | Array) -> Features:
        """Those of a slice, or of an array of numbers."""
        return Features(self._source, self.shape[1:], self._rows[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """
        Raises:
            UserError: the disk failed, the file was cut off, or a row is damaged and cannot be made anew.
        """
        out = empty(self.shape, DTYPE)
        self._source.read(self._rows, out)
        return out if dtype is None else out.astype(dtype, copy=False)

    def _advise(self) -> None:
        file, n = self._source.file, self._source.store.row_bytes
        for row in self._rows.tolist():
            os.posix_fadvise(file.fileno(), row * n, n, os.POSIX_FADV_WILLNEED)


class _Rows:
    """The rows of a store as they are read, each checked the first time."""

    def __init__(self, store: FeatureStore, remake: Remake | None) -> None:
        self.store, self._remake = store, remake
        self.file = _File(store.file)
        self._checksums = store._checksums()
        sums = store._sums()
        self._new = sums != 0  # still to be checked
        self._sums = sums - _sums_of_pictures(self._checksums)  # (n,): of the row alone
        self._anew: dict[int, Array] = {}  # rows that were damaged, and could not be written again

    def read(self, rows: Array, out: Array) -> None:
        """Read ``rows`` (n,) into ``out`` (n, …)."""
        many = max(1, _CHUNK // self.store.row_bytes)
        for at in range(0, len(rows), many):
            some, into = rows[at : at + many], out[at : at + many]
            for row, place in zip(some.tolist(), into, strict=True):
                self._read(row, place)
            new = np.flatnonzero(self._new[some])
            if len(new):
                self._check(some[new], into if len(new) == len(some) else into[new], into, new)

    def _read(self, row: int, out: Array) -> None:
        if row in self._anew:
            out[...] = self._anew[row]
            return
        try:
            self.file.seek(row * self.store.row_bytes)
            if self.file.readinto(out) != self.store.row_bytes:
                raise OSError("it was cut off")
        except OSError as error:
            problem = f"{self.file.name} cannot be read any more ({error.strerror or error})"
            raise UserError(f"{problem}; start again: features that are missing are made anew") from error

    def _check(self, rows: Array, contents: Array, out: Array, at: Array) -> None:
        """Check ``rows``, which are read for the first time; those that are damaged are made anew in ``out[at]``."""
        for k in np.flatnonzero(_sums_of_rows(contents) != self._sums[rows]):
            row, place = int(rows[k]), out[at[k]]
            if self._new[row]:
                self._make_anew(row, self._checksums[row], place)
                self._new[row] = False
            else:  # it stands here twice
                self._read(row, place)
        self._new[rows] = False

    def _make_anew(self, row: int, checksum: str, out: Array) -> None:
        if self._remake is None:
            raise UserError(f"{self.file.name} is damaged in row {row}; delete {self.store.folder}: it is made anew")
        out[...] = self._remake(checksum)
        try:
            self.store.replace(row, checksum, out, lambda: None)
        except OSError:
            self._anew[row] = out.copy()


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


def is_checksum(text: str) -> bool:
    """Whether it is the checksum of a picture, as a line of the list has it."""
    return _CHECKSUM.fullmatch(f"{text}\n".encode(errors="replace")) is not None


def _sums(rows: Array, checksums: Sequence[str]) -> Array:
    """The sums of ``rows`` (n, …) of float16, contiguous, of the pictures with these checksums: (n,)."""
    sums = _sums_of_rows(rows) + _sums_of_pictures(checksums)
    return np.where(sums == 0, 1, sums).astype(_SUM)


def _sums_of_rows(rows: Array) -> Array:
    contents = rows.reshape(len(rows), -1)
    if contents.shape[1] % 4:  # values in a word
        contents = np.pad(contents, ((0, 0), (0, -contents.shape[1] % 4)))
    words = contents.view(_WORD)
    return np.einsum("ij,j->i", words, _multipliers(_ID // 8 + words.shape[1])[_ID // 8 :])


def _sums_of_pictures(checksums: Sequence[str]) -> Array:
    texts = b"".join(checksum.encode()[:_ID].ljust(_ID) for checksum in checksums)
    return np.einsum("ij,j->i", np.frombuffer(texts, _WORD).reshape(-1, _ID // 8), _multipliers(_ID // 8))


@functools.cache
def _multipliers(n: int) -> Array:
    """m (n,). The bits of PCG64 are the same with every NumPy."""
    return (np.random.PCG64(20261130).random_raw(n) | 1).astype(_WORD)


def _overwrite(path: Path, at: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _append(file: Any, data: bytes) -> None:
    file.seek(0, os.SEEK_END)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
