"""Softmax of rows as a CUDA kernel in Python: the twin of version 1 in ``softmax_cross_entropy.cu``, without the loss.

It runs on a GPU, or anywhere, slowly, under Numba's simulator: ``NUMBA_ENABLE_CUDASIM=1``.
"""

import math

import numpy as np
from numba import cuda, float32

from scratchlv.arrays import Array

THREADS = 16  # a power of two; a GPU would like 256, the simulator few


def softmax(z: Array) -> Array:
    """softmax(z) of each row of ``z`` (M, V), float32."""
    p = np.zeros_like(z)
    if z.size:
        _softmax[z.shape[0], THREADS](z, p)
    return p


@cuda.jit
def _softmax(z, p):
    """A block for a row: its maximum, then Σ exp(z - max), both by a tree of shared memory, then the quotients."""
    tree = cuda.shared.array(THREADS, float32)
    m, i, V = cuda.blockIdx.x, cuda.threadIdx.x, z.shape[1]
    top = float32(-math.inf)
    for v in range(i, V, THREADS):
        top = max(top, z[m, v])
    tree[i] = top
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if i < half:
            tree[i] = max(tree[i], tree[i + half])
        cuda.syncthreads()
        half //= 2
    top = tree[0]
    cuda.syncthreads()  # all have read it before the tree is used again
    total = float32(0)
    for v in range(i, V, THREADS):
        p[m, v] = math.exp(z[m, v] - top)
        total += p[m, v]
    tree[i] = total
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if i < half:
            tree[i] += tree[i + half]
        cuda.syncthreads()
        half //= 2
    for v in range(i, V, THREADS):
        p[m, v] /= tree[0]
