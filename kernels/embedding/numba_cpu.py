"""Embedding on the CPU: rows are copied in parallel, and each thread adds up the gradients of its own rows of W."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.memory import empty, plain
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.embedding.reference import check_tokens

Array = np.ndarray
_WORTH_THREADS = 16_384  # numbers; waking threads for fewer takes longer than copying them


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
    tokens = plain(check_tokens(tokens, V), np.int64)
    if tokens.size * E < _WORTH_THREADS:
        y = W[tokens]
    else:
        y = empty((*tokens.shape, E), W.dtype)
        _gather(tokens.reshape(-1), plain(W), y.reshape(-1, E))
    return y, Cache(tokens, V) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dW`` (V, E); ``dy`` is (..., E)."""
    tokens, V = cache
    E = dy.shape[-1]
    dW = empty((V, E), dy.dtype)
    _scatter_add(tokens.reshape(-1), plain(dy).reshape(-1, E), dW, n_threads())
    return (dW,)


@kernel(parallel=True)
def _gather(tokens, W, y):
    for i in prange(len(tokens)):
        row, out = W[tokens[i]], y[i]
        for e in range(len(out)):
            out[e] = row[e]


@kernel(parallel=True)
def _scatter_add(tokens, dy, dW, threads):
    # Two threads never share a row, and each adds in the order of the tokens: no atomics, one result.
    V, E = dW.shape
    for thread in prange(threads):
        first, last = share(V, thread, threads)
        for v in range(first, last):
            for e in range(E):
                dW[v, e] = 0
        for i in range(len(tokens)):
            if first <= tokens[i] < last:
                row, grad = dW[tokens[i]], dy[i]
                for e in range(E):
                    row[e] += grad[e]
