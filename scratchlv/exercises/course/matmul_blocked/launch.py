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


class _Watched(np.lib.mixins.NDArrayOperatorsMixin):
    """An array, or a part of it, whose numbers go through a cache. Rows are whole lines."""

    def __init__(self, array, cache, name, places=None):
        self.array, self.cache, self.name = array, cache, name
        self.places = np.arange(array.size).reshape(array.shape) if places is None else places
        self.shape, self.size, self.ndim = array.shape, array.size, array.ndim

    def __len__(self):
        return len(self.array)

    def _use(self, places):
        lines = (places // LINE,) if not np.ndim(places) else np.unique(places // LINE)
        for line in lines:
            self.cache.use((self.name, int(line)))

    def __getitem__(self, index):
        places = self.places[index]
        if np.ndim(places):
            return _Watched(self.array[index], self.cache, self.name, places)
        self._use(places)
        return self.array[index]

    def __setitem__(self, index, value):
        self._use(self.places[index])
        self.array[index] = value

    def __array__(self, *_, **__):
        self._use(self.places)
        return self.array

    def __array_ufunc__(self, function, method, *inputs, out=None, **options):
        if function is np.matmul or method != "__call__":
            self._refuse()
        given = [np.asarray(each) if isinstance(each, _Watched) else each for each in inputs]
        result = function(*given, **options)
        if out is None:
            return result
        out[0].array[...] = result
        return out[0]

    def __array_function__(self, *_):
        self._refuse()

    def _refuse(self):
        raise TypeError("the product of two squares is yours to write, in loops: np.dot and @ do it for you")
