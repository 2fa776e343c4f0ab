"""Calls matmul, compiled and as Python, and counts what it fetches."""

from collections import OrderedDict

import numpy as np

LINE, LINES = 8, 48  # numbers in a line, lines in the cache


def matmul(learner, A, B, block):
    """A B, in a C in which something stood."""
    C = np.full((A.shape[0], B.shape[1]), 1000.0)
    if A.size * B.shape[1] < 500:
        _python(learner)(A, B, C.copy(), block)  # where Python sees an index that is out of bounds
    learner.matmul(A, B, C, block)
    return C


def fetched(learner, A, B, block):
    """How many cache lines are fetched."""
    cache = _Cache()
    C = _Watched(np.zeros((A.shape[0], B.shape[1])), cache, "C")
    _python(learner)(_Watched(A, cache, "A"), _Watched(B, cache, "B"), C, block)
    return cache.fetched


def _python(learner):
    """The function as it stands in the file, without Numba."""
    if not hasattr(learner.matmul, "py_func"):
        learner.refuse("matmul is not compiled any more: put @njit back above it")
    return learner.matmul.py_func


class _Cache:
    """Keeps the lines that were used last."""

    def __init__(self):
        self.lines, self.fetched = OrderedDict(), 0

    def use(self, line):
        if line in self.lines:
            self.lines.move_to_end(line)
            return
        self.fetched += 1
        self.lines[line] = None
        if len(self.lines) > LINES:
            self.lines.popitem(last=False)


class _Watched:
    """An array, or a slice of a row of it, whose numbers go through a cache."""

    def __init__(self, array, cache, name, row=None, first=0):
        self.array, self.cache, self.name, self.row, self.first = array, cache, name, row, first
        self.shape, self.size, self.ndim = array.shape, array.size, array.ndim

    def __len__(self):
        return len(self.array)

    def _number(self, index):
        """The place of one number, whose line is used; None if the index is another one."""
        place = index if isinstance(index, tuple) else (index,)
        if len(place) != self.ndim or not all(isinstance(n, int) for n in place):
            return None
        row, column = place if self.ndim == 2 else (self.row, place[0])
        self.cache.use((self.name, row, (self.first + column) // LINE))
        return place

    def __getitem__(self, index):
        if self._number(index) is not None:
            return self.array[index]
        row, columns = index if isinstance(index, tuple) and len(index) == 2 else (index, slice(None))
        if (
            self.ndim != 2
            or not isinstance(row, int)
            or not isinstance(columns, slice)
            or columns.step not in (None, 1)
        ):
            self._refuse()
        return _Watched(self.array[row, columns], self.cache, self.name, row, columns.indices(self.shape[1])[0])

    def __setitem__(self, index, value):
        if self._number(index) is None:
            self._refuse()
        self.array[index] = value

    def _refuse(self):
        raise TypeError(
            f"{self.name} is read and written by single numbers and slices of one row, for the check counts"
        )

    def __array__(self, *_, **__):
        self._refuse()
