"""The tiled matrix product as a CUDA kernel in Python: the twin of ``matmul_2`` in ``matmul.cu``.

It runs on a GPU, or anywhere, slowly, under Numba's simulator: ``NUMBA_ENABLE_CUDASIM=1``.
"""

import numpy as np
from numba import cuda, float32

from scratchlv.arrays import Array

TILE = 8


def matmul(a: Array, b: Array) -> Array:
    """``a b`` (M, N) of ``a`` (M, K) and ``b`` (K, N), float32."""
    (M, _), N = a.shape, b.shape[1]
    c = np.zeros_like(a, shape=(M, N))
    if c.size:
        _matmul[(-(-M // TILE), -(-N // TILE)), (TILE, TILE)](a, b, c)
    return c


@cuda.jit
def _matmul(a, b, c):
    """Each block makes one tile of C; each number that it brings into shared memory serves a whole row, or column, of it."""
    tile_a = cuda.shared.array((TILE, TILE), float32)
    tile_b = cuda.shared.array((TILE, TILE), float32)
    y, x = cuda.threadIdx.x, cuda.threadIdx.y
    row, column = cuda.grid(2)
    total = float32(0)
    for k in range(0, a.shape[1], TILE):
        inside_a = row < a.shape[0] and k + x < a.shape[1]
        inside_b = k + y < b.shape[0] and column < b.shape[1]
        tile_a[y, x] = a[row, k + x] if inside_a else float32(0)
        tile_b[y, x] = b[k + y, column] if inside_b else float32(0)
        cuda.syncthreads()  # the tiles are there
        for j in range(TILE):
            total += tile_a[y, j] * tile_b[j, x]
        cuda.syncthreads()  # and nobody reads them any more
    if row < c.shape[0] and column < c.shape[1]:
        c[row, column] = total
