"""Calls softmax on an array of NaN, and counts how often a score is read."""

import numpy as np


def softmax(learner, x):
    """p (N, D)."""
    p = np.full(x.shape, np.nan)
    learner.softmax(x, p)
    return p


def reads(learner, x):
    """How often max_and_sum reads each score."""
    if not hasattr(learner.max_and_sum, "py_func"):
        learner.refuse("max_and_sum is not compiled any more: put @njit back above it")
    watched = _Watched(x)
    learner.max_and_sum.py_func(watched)
    return watched.reads


class _Watched:
    """An array that counts."""

    def __init__(self, array):
        self.array, self.reads = array, np.zeros(array.size, np.int64)
        self.size, self.shape, self.ndim = array.size, array.shape, 1

    def __len__(self):
        return self.size

    def __iter__(self):
        return (self[j] for j in range(self.size))

    def __getitem__(self, index):
        self.reads[index] += 1
        return self.array[index]

    def __array__(self, *_, **__):
        self.reads += 1
        return self.array

    def max(self):
        self.reads += 1
        return self.array.max()
