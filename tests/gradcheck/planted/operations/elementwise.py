"""Logarithm, square root and reciprocal of positive numbers, and their weighted sum."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 5}


def make_inputs(N=5, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.3, 2, size=N) for name in ("a", "b", "c")}


def forward(a, b, c):
    root = np.sqrt(b)
    inverse = 1 / c
    y = np.log(a) + 2 * root - 3 * inverse
    return y, (a, root, inverse)


def backward(dy, cache):
    a, root, inverse = cache
    da = dy / a
    db = dy / root
    dc = 3 * dy * inverse**2
    return da, db, dc
