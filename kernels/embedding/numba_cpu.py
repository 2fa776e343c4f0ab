"""Embedding on the CPU: rows are copied in parallel; their gradients are added in parallel over columns."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.embedding.reference import check_tokens

Array = np.ndarray
COLUMNS = 64  # a thread's share of columns: four cache lines of float32


class Cache(NamedTuple):
    tokens: Array  # (...) int64
    rows: int  # V


def limits(tokens: Any, W: Any, *, train: bool = True) -> str | None:
    """Why these arrays cannot be served, or None."""
    if not isinstance(W, np.ndarray):
        return "W is not a NumPy array"
    if W.dtype not in (np.float32, np.float64):
        return f"W is {W.dtype}; it serves float32 and float64"
    return None


def forward(tokens: Array, W: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    """``y = W[tokens]``: ``tokens`` (...) of integers in [0, V), ``W`` (V, E); ``y`` is (..., E)."""
    V, E = W.shape
    tokens = np.ascontiguousarray(check_tokens(tokens, V), np.int64).reshape(np.shape(tokens))
    y = np.empty((*tokens.shape, E), W.dtype)
    _gather(tokens.reshape(-1), np.ascontiguousarray(W), y.reshape(-1, E))
    return y, Cache(tokens, V) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dW`` (V, E); ``dy`` is (..., E)."""
    tokens, V = cache
    E = dy.shape[-1]
    dW = np.zeros((V, E), dy.dtype)
    _scatter_add(tokens.reshape(-1), np.ascontiguousarray(dy).reshape(-1, E), dW)
    return (dW,)


@kernel(parallel=True, error_model="numpy")
def _gather(tokens, W, y):
    for i in prange(len(tokens)):
        y[i] = W[tokens[i]]


@kernel(parallel=True, error_model="numpy")
def _scatter_add(tokens, dy, dW):
    # Two threads never share a column, and each adds in the order of the tokens: no atomics, one result.
    E = dW.shape[1]
    for block in prange((E + COLUMNS - 1) // COLUMNS):
        first, last = block * COLUMNS, min(E, (block + 1) * COLUMNS)
        for i in range(len(tokens)):
            row = dW[tokens[i]]
            for e in range(first, last):
                row[e] += dy[i, e]
