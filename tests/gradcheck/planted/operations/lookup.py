"""Rows of a table, picked by several indices, and scaled by weights."""

import numpy as np

STYLE = "functions"
SIZES = {"M": 6, "D": 3}


def make_inputs(M=6, D=3, rows=5, seed=0):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, rows, size=M)
    index[-1] = index[0]
    return {"table": rng.normal(size=(rows, D)), "index": index, "weight": rng.normal(size=M)}


def forward(table, index, weight):
    picked = table[index]
    return picked * weight[:, None], (table, index, weight, picked)


def backward(dy, cache):
    table, index, weight, picked = cache
    dweight = (dy * picked).sum(axis=1)
    dpicked = dy * weight[:, None]
    dtable = np.zeros_like(table)
    for m in range(len(index)):
        dtable[index[m]] += dpicked[m]
    return dtable, dweight
