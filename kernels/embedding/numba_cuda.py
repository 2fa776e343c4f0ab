"""The gather of an embedding, and the sum of its gradient, as CUDA kernels in Python: the twins of ``embedding.cu``'s version 1.

They run on a GPU, or anywhere, slowly, under Numba's simulator: ``NUMBA_ENABLE_CUDASIM=1``.
"""

import numpy as np
from numba import cuda

from scratchlv.arrays import Array

THREADS = 32


def gather(tokens: Array, W: Array) -> Array:
    """``W[tokens]`` (M, E) of ``tokens`` (M,) and ``W`` (V, E)."""
    y = np.zeros_like(W, shape=(tokens.size, W.shape[1]))
    if y.size:
        _gather[tokens.size, THREADS](tokens, W, y)
    return y


def scatter_add(dy: Array, tokens: Array, V: int) -> Array:
    """``dW`` (V, E): row v is the sum of the rows of ``dy`` (M, E) where token v stood, in their order."""
    dW = np.zeros_like(dy, shape=(V, dy.shape[1]))
    if dW.size:
        _scatter_add[V, THREADS](dy, tokens, dW)
    return dW


@cuda.jit
def _gather(tokens, W, y):
    """A block for a word: its threads copy the row together."""
    m = cuda.blockIdx.x
    for e in range(cuda.threadIdx.x, W.shape[1], cuda.blockDim.x):
        y[m, e] = W[tokens[m], e]


@cuda.jit
def _scatter_add(dy, tokens, dW):
    """A block for a row of W, which looks through all words: no atomics, and always the same order of the sum."""
    v = cuda.blockIdx.x
    for e in range(cuda.threadIdx.x, dW.shape[1], cuda.blockDim.x):
        total = dW[v, e]
        for m in range(tokens.size):
            if tokens[m] == v:
                total += dy[m, e]
        dW[v, e] = total
