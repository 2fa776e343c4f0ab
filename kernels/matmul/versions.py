"""The matrix product six times, from three loops to the packed one, in float32: what each step buys.

Each takes ``a`` (M, K) and ``b`` (K, N) and gives C (M, N). ``scratchlv bench matmul`` times them side by side, with
``--variant numba_cpu --version N`` one of them. The last is what all the project runs on,
:func:`scratchlv.kernels.matmul.numba_cpu.gemm`. All but that one use a single thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.simd import address
from scratchlv.kernels.building_blocks.threads import set_threads
from scratchlv.kernels.matmul.micro_kernels import TILE_COLUMNS, TILE_ROWS, tile_kernel
from scratchlv.kernels.matmul.numba_cpu import gemm
from scratchlv.memory import as_contiguous, empty


def three_loops(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The definition: a number of C is a row of A times a column of B. B is read downwards, a cache line for each number."""
    return _into(_three_loops, a, b)


def rows_of_b(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The loops exchanged: a row of C is a sum of rows of B. All is read along the rows, and LLVM uses whole vectors."""
    return _into(_rows_of_b, a, b)


def blocks(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same in blocks of B that stay in the second-level cache while all rows of A pass by."""
    return _into(_blocks, a, b)


def register_tiles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A tile of C stays in registers for the whole sum over k: each vector of B that is loaded serves all rows of the tile."""
    a_padded = np.zeros(
        (-(-a.shape[0] // TILE_ROWS) * TILE_ROWS, a.shape[1]), np.float32
    )  # whole tiles, so that none needs care
    b_padded = np.zeros((b.shape[0], -(-b.shape[1] // TILE_COLUMNS) * TILE_COLUMNS), np.float32)
    a_padded[: a.shape[0]], b_padded[:, : b.shape[1]] = a, b
    c = empty((a_padded.shape[0], b_padded.shape[1]))
    _register_tiles(np.ascontiguousarray(a_padded.T), b_padded, np.zeros(TILE_COLUMNS, np.float32), c)
    return np.ascontiguousarray(c[: a.shape[0], : b.shape[1]])


def packed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Blocks of A and B are copied into the order in which the tiles read them: from one end of the memory to the other."""
    before = set_threads(1)
    try:
        return gemm(a, b)
    finally:
        set_threads(before)


VERSIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "1 three loops": three_loops,
    "2 rows of B": rows_of_b,
    "3 blocks": blocks,
    "4 register tiles": register_tiles,
    "5 packed": packed,
    "6 in parallel": gemm,
}


def _into(product: Callable[[np.ndarray, np.ndarray, np.ndarray], None], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    c = empty((a.shape[0], b.shape[1]))
    product(as_contiguous(a), as_contiguous(b), c)
    return c


@kernel(fastmath=FLAGS)
def _three_loops(a, b, c):
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = np.float32(0)
            for p in range(a.shape[1]):
                total += a[i, p] * b[p, j]
            c[i, j] = total


@kernel(fastmath=FLAGS)
def _rows_of_b(a, b, c):
    for i in range(c.shape[0]):
        row = c[i]
        for j in range(row.size):
            row[j] = 0
        for p in range(a.shape[1]):
            number, row_of_b = a[i, p], b[p]
            for j in range(row.size):
                row[j] += number * row_of_b[j]


@kernel(fastmath=FLAGS)
def _blocks(a, b, c):
    terms, columns = 128, 1024  # half a megabyte of B
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            c[i, j] = 0
    for p0 in range(0, a.shape[1], terms):
        for j0 in range(0, c.shape[1], columns):
            for i in range(c.shape[0]):
                row = c[i, j0 : j0 + columns]
                for p in range(p0, min(p0 + terms, a.shape[1])):
                    number, row_of_b = a[i, p], b[p, j0 : j0 + columns]
                    for j in range(row.size):
                        row[j] += number * row_of_b[j]


@kernel()
def _register_tiles(a_transposed, b, zeros, c):
    k, m = a_transposed.shape
    n = c.shape[1]
    for j in range(0, n, TILE_COLUMNS):
        for i in range(0, m, TILE_ROWS):
            a_at, b_at, c_at = address(a_transposed) + 4 * i, address(b) + 4 * j, address(c) + 4 * (i * n + j)
            tile_kernel(TILE_ROWS, TILE_COLUMNS, k, a_at, m, b_at, n, address(zeros), 0, c_at, n)
