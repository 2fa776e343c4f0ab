"""Matrix product in float32: packed panels of B and a register-tiled micro-kernel, in parallel.

B is copied once per call into panels of ``COLUMNS`` adjacent columns, so that the micro-kernel reads it in order; A is
read where it lies. Every number of C is summed by one thread in the order of k: the result does not depend on the
number of threads. Nothing here calls a BLAS library: its threads and Numba's would fight for the cores.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS
from scratchlv.kernels.building_blocks.simd import float_at
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.matmul.micro_kernels import CHANNELS, COLUMNS, ROWS, columns_kernel, rows_kernel

Array = np.ndarray
_FEW_ROWS = 3  # up to so many rows of A, packing B costs more than it brings
_BLOCK = 16 * ROWS  # rows of A that stay in the second-level cache while the panels of B pass by
INNER_BLOCK = (
    256  # so many terms are summed from zero before they are added to C: a panel of B that fits the first-level cache
)


class Cache(NamedTuple):
    a: Array  # (M, K)
    b: Array  # (K, N)


def limits(a: Array, b: Array, *, train: bool = True) -> str | None:
    """Why this variant cannot serve a call, or None."""
    return float32_only(a, b)


def float32_only(*arrays: Array | None) -> str | None:
    for array in arrays:
        if array is not None and not (isinstance(array, np.ndarray) and array.dtype == np.float32):
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__module__.split(".")[0] + " array"
            return f"it computes in float32 on NumPy arrays, and got {kind}"
    return None


def forward(a: Array, b: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    return gemm(a, b), Cache(a, b) if train else None


def backward(dc: Array, cache: Cache) -> tuple[Array, Array]:
    return gemm(dc, cache.b, transpose_b=True), gemm(cache.a, dc, transpose_a=True)


def gemm(
    a: Array,
    b: Array,
    out: Array | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    bias: Array | None = None,
) -> Array:
    """``out (+)= op(a) op(b) + bias``, all float32 and two-dimensional; ``bias`` (N,) is added to every row.

    ``out`` must be C-contiguous and must not overlap the inputs; it is made when not given.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    if transpose_a and transpose_b:
        a, transpose_a = np.ascontiguousarray(a.T), False
    (k, m) = a.shape if transpose_a else a.shape[::-1]
    (kb, n) = b.shape[::-1] if transpose_b else b.shape
    if k != kb:
        raise ValueError(f"cannot multiply ({m}, {k}) by ({kb}, {n})")
    if bias is not None and bias.shape != (n,):
        raise ValueError(f"bias has shape {bias.shape}, a row of the product has ({n},)")
    if out is None:
        out = np.empty((m, n), np.float32)
        accumulate = False
    elif out.shape != (m, n):
        raise ValueError(f"out has shape {out.shape}, the product has ({m}, {n})")
    if m == 0 or n == 0:
        return out
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    if transpose_a:
        _transposed_product(a, b, out, accumulate, n_threads())
        if bias is not None:
            out += bias
        return out
    bias = NO_BIAS if bias is None else np.ascontiguousarray(bias)
    if m <= _FEW_ROWS and not transpose_b:
        _few_rows(a, b, out, bias, accumulate, n_threads())
    else:
        panels = pack(b, transpose=transpose_b)
        _product(a, panels, out, bias, accumulate, n_threads())
    return out


NO_BIAS = np.empty(0, np.float32)


def pack(b: Array, transpose: bool = False) -> Array:
    """The columns of ``b`` (K, N), or of its transpose, in panels: (ceil(N / COLUMNS), K, COLUMNS), zeros at the end."""
    n, k = (b.shape[0], b.shape[1]) if transpose else (b.shape[1], b.shape[0])
    panels = np.empty((-(-n // COLUMNS), k, COLUMNS), np.float32)
    (_pack_transposed if transpose else _pack)(b, panels)
    return panels


@kernel(parallel=True)
def _pack(b, panels):
    k, n = b.shape
    for q in prange(panels.shape[0]):
        first = q * COLUMNS
        width = min(COLUMNS, n - first)
        for i in range(k):
            for j in range(width):
                panels[q, i, j] = b[i, first + j]
            for j in range(width, COLUMNS):
                panels[q, i, j] = 0


@kernel(parallel=True)
def _pack_transposed(b, panels):
    n, k = b.shape
    for q in prange(panels.shape[0]):
        first = q * COLUMNS
        width = min(COLUMNS, n - first)
        for block in range(0, k, 16):  # a strip of 16 columns of b stays in the first-level cache
            for i in range(block, min(block + 16, k)):
                for j in range(width):
                    panels[q, i, j] = b[first + j, i]
                for j in range(width, COLUMNS):
                    panels[q, i, j] = 0


@kernel(fastmath=FLAGS)
def tile_product(rows, n_segments, k, panel, c, m0, m1, n0, n1, bias, accumulate, scratch):
    """One tile of C, rows ``m0`` to ``m1`` and columns ``n0`` to ``n1``, through ``scratch`` where it is ragged."""
    stride = c.shape[1]
    if m1 - m0 == ROWS and n1 - n0 == COLUMNS:
        at = c.ctypes.data + 4 * (m0 * stride + n0)
        rows_kernel(rows, n_segments, k, panel, at, stride, accumulate)
    else:
        if accumulate:
            for i in range(m1 - m0):
                for j in range(n1 - n0):
                    scratch[i, j] = c[m0 + i, n0 + j]
        rows_kernel(rows, n_segments, k, panel, scratch.ctypes.data, COLUMNS, accumulate)
        for i in range(m1 - m0):
            for j in range(n1 - n0):
                c[m0 + i, n0 + j] = scratch[i, j]
    if bias.size:
        for i in range(m0, m1):
            for j in range(n0, n1):
                c[i, j] += bias[j]


@kernel()
def add_rows_product(a, panels, y, first, last, accumulate, table, scratch):
    """``y[first:last] (+)= a[first:last] B`` within one thread, for the step of a recurrence; B as :func:`pack` leaves it.

    ``table`` (ROWS,) int64 and ``scratch`` (ROWS, COLUMNS) are the thread's own; rows of ``a`` and ``y`` are adjacent.
    """
    for m0 in range(first, last, ROWS):
        m1 = min(m0 + ROWS, last)
        for i in range(ROWS):
            table[i] = a.ctypes.data + 4 * a.shape[1] * min(m0 + i, last - 1)
        for q in range(panels.shape[0]):
            panel = panels.ctypes.data + 4 * q * panels.shape[1] * COLUMNS
            n0, n1 = q * COLUMNS, min((q + 1) * COLUMNS, y.shape[1])
            tile_product(table.ctypes.data, 1, a.shape[1], panel, y, m0, m1, n0, n1, NO_BIAS, accumulate, scratch)


@kernel(parallel=True)
def _product(a, panels, c, bias, accumulate, threads):
    m, k = a.shape
    n = c.shape[1]
    n_panels = panels.shape[0]
    n_tiles = -(-m // ROWS)
    by_rows = n_tiles >= n_panels  # what there is more of is divided among the threads
    for thread in prange(threads):
        tile0, tile1 = share(n_tiles, thread, threads) if by_rows else (0, n_tiles)
        panel0, panel1 = (0, n_panels) if by_rows else share(n_panels, thread, threads)
        scratch = np.empty((ROWS, COLUMNS), np.float32)
        rows = np.empty(_BLOCK, np.int64)
        for block0 in range(tile0 * ROWS, min(m, tile1 * ROWS), _BLOCK):
            block1 = min(block0 + _BLOCK, m, tile1 * ROWS)
            for k0 in range(0, max(k, 1), INNER_BLOCK):
                terms = min(INNER_BLOCK, k - k0)
                bias_now = bias if k0 + terms >= k else bias[:0]
                for i in range(_BLOCK):
                    rows[i] = a.ctypes.data + 4 * (k * min(block0 + i, m - 1) + k0)
                for q in range(panel0, panel1):
                    panel = panels.ctypes.data + 4 * (q * k + k0) * COLUMNS
                    for m0 in range(block0, block1, ROWS):
                        m1, n1 = min(m0 + ROWS, m), min((q + 1) * COLUMNS, n)
                        table = rows.ctypes.data + 8 * (m0 - block0)
                        add = accumulate or k0 > 0
                        tile_product(table, 1, terms, panel, c, m0, m1, q * COLUMNS, n1, bias_now, add, scratch)


@kernel(parallel=True, fastmath=FLAGS)
def _few_rows(a, b, c, bias, accumulate, threads):
    """A few rows times a matrix: bound by reading B, which is done once, where it lies."""
    m, k = a.shape
    n = b.shape[1]
    for thread in prange(threads):
        first, last = share(n, thread, threads)
        for i in range(m):
            if not accumulate:
                c[i, first:last] = 0
            row = c[i, first:last]
            for q in range(k):
                x = a[i, q]
                row_of_b = b[q, first:last]
                for j in range(last - first):
                    row[j] += x * row_of_b[j]
            if bias.size:
                for j in range(last - first):
                    row[j] += bias[first + j]


@kernel(parallel=True)
def _transposed_product(a, b, c, accumulate, threads):
    """C (M, N) (+)= Aᵀ B, A (K, M) and B (K, N) read where they lie: a sum of outer products over their rows."""
    k, m = a.shape
    n = b.shape[1]
    n_tiles = -(-m // CHANNELS)
    n_panels = -(-n // COLUMNS)
    by_rows = n_tiles >= n_panels
    for thread in prange(threads):
        tile0, tile1 = share(n_tiles, thread, threads) if by_rows else (0, n_tiles)
        panel0, panel1 = (0, n_panels) if by_rows else share(n_panels, thread, threads)
        if not accumulate:
            c[tile0 * CHANNELS : tile1 * CHANNELS, panel0 * COLUMNS : panel1 * COLUMNS] = 0
        table = np.empty(INNER_BLOCK, np.int64)
        buffers = new_buffers()
        for k0 in range(0, k, INNER_BLOCK):
            rows = min(INNER_BLOCK, k - k0)
            for p in range(rows):
                table[p] = a.ctypes.data + 4 * m * (k0 + p)
            for q in range(panel0, panel1):
                for t in range(tile0, tile1):
                    transposed_tile(table[:rows], m, t * CHANNELS, b, k0, q * COLUMNS, c, t * CHANNELS, buffers)


@kernel()
def new_buffers():
    """What a thread needs for ragged tiles: rows of A and of B filled up with zeros, the addresses of the former, a tile."""
    a = np.zeros((INNER_BLOCK, CHANNELS), np.float32)
    table = np.empty(INNER_BLOCK, np.int64)
    for p in range(INNER_BLOCK):
        table[p] = a.ctypes.data + 4 * CHANNELS * p
    return a, table, np.zeros((INNER_BLOCK, COLUMNS), np.float32), np.empty((CHANNELS, COLUMNS), np.float32)


@kernel()
def transposed_tile(table, channels, i0, b, b0, j0, c, c0, buffers):
    """``c[c0 + i, j0 + j] += Σ_p A[p, i0 + i] b[b0 + p, j0 + j]`` for a tile of i and j.

    ``table`` holds the addresses of the rows ``A[p]``, each of ``channels`` floats, at most ``INNER_BLOCK`` of them.
    """
    padded_a, padded_table, padded_b, tile = buffers
    n = b.shape[1]
    rows = table.size
    height, width = min(CHANNELS, channels - i0), min(COLUMNS, n - j0)
    a_at, offset = table.ctypes.data, i0
    if height < CHANNELS:
        for p in range(rows):
            for i in range(height):
                padded_a[p, i] = float_at(table[p] + 4 * (i0 + i))
        a_at, offset = padded_table.ctypes.data, 0
    b_at, ldb = b.ctypes.data + 4 * (b0 * n + j0), n
    if width < COLUMNS:
        for p in range(rows):
            for j in range(width):
                padded_b[p, j] = b[b0 + p, j0 + j]
        b_at, ldb = padded_b.ctypes.data, COLUMNS
    if height == CHANNELS and width == COLUMNS:
        columns_kernel(a_at, offset, rows, b_at, ldb, c.ctypes.data + 4 * (c0 * n + j0), n, 1)
    else:
        columns_kernel(a_at, offset, rows, b_at, ldb, tile.ctypes.data, COLUMNS, 0)
        for i in range(height):
            for j in range(width):
                c[c0 + i, j0 + j] += tile[i, j]
