"""Matrix product in float32: packed panels of B and a register-tiled micro-kernel, in parallel.

A block of A and a block of B are copied ("packed") into the order in which the micro-kernel reads them: tiles of rows of A,
panels of columns of B. An operand is found by its address and two strides, one of which is 1: transposed operands and
slices are packed from where they lie. Every number of C is summed by one thread in the order of k: the result depends
neither on the number of threads nor on the rows beside. Nothing here calls a BLAS library: its threads and Numba's would
fight for the cores.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import prange, types

from scratchlv.kernels.building_blocks.compiling import Callback, kernel
from scratchlv.kernels.building_blocks.simd import WIDTH, address, call, float_at, store_float
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.matmul import few_rows
from scratchlv.kernels.matmul.micro_kernels import (
    COLUMNS,
    ROWS,
    add_panel_sums,
    copy_vector,
    row_kernel,
    tile_kernel,
    transpose_block,
)
from scratchlv.memory import as_contiguous, empty

#: So many terms at most, a segment, are summed from zero before they are added to C: errors stay small.
INNER_BLOCK = 264
SEGMENTS = 2  #: segments that are packed at once: a tile of C is added to so often while it is in the first-level cache
#: Rows of A that are packed at once: they stay in the second-level cache while panels of B pass by.
BLOCK_ROWS = 16 * ROWS
#: Columns of B that are packed at once: they, and the part of C below them, stay in the third-level cache.
BLOCK_COLUMNS = 1024
_TILES_AT_ONCE = 8  # are packed side by side: so much of a row is read in one go
_PREFETCH_ROWS = 6  # so many rows before they are packed, they are asked for
_PREFETCH_FLOATS = 64  # the same where rows are packed across: so many numbers of each
_WORTH_THREADS = 50_000  # multiply-adds; waking threads for fewer takes longer than they do


class Cache(NamedTuple):
    a: np.ndarray  # (M, K)
    b: np.ndarray  # (K, N)


def limits(a: np.ndarray, b: np.ndarray, *, train: bool = True) -> str | None:
    """Why this variant cannot serve a call, or None."""
    return float32_only(a, b)


def float32_only(*arrays: Any) -> str | None:
    for array in arrays:
        if array is not None and not (isinstance(array, np.ndarray | PackedMatrix) and array.dtype == np.float32):
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__module__.split(".")[0] + " array"
            return f"it computes in float32 on NumPy arrays, and got {kind}"
    return None


def forward(a: np.ndarray, b: np.ndarray, *, train: bool = True) -> tuple[np.ndarray, Cache | None]:
    return gemm(a, b), Cache(a, b) if train else None


def backward(dc: np.ndarray, cache: Cache) -> tuple[np.ndarray, np.ndarray]:
    return gemm(dc, cache.b, transpose_b=True), gemm(cache.a, dc, transpose_a=True)


class PackedMatrix:
    """A matrix that many products will be taken by: its panels are made once, when a product first needs them."""

    dtype, ndim = np.dtype(np.float32), 2
    kind = "float32"
    scales = few_rows.ZEROS  # of its columns, where they have any

    def __init__(self, array: np.ndarray) -> None:
        self.array = array  # (K, N)
        self.shape = array.shape

    @functools.cached_property
    def panels(self) -> np.ndarray:
        return pack(self.array)

    @property
    def of_few_rows(self) -> np.ndarray:
        """The panels as products of few rows read them; their numbers are of the matrix's kind."""
        return self.panels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype, copy=copy)


def packed(W: np.ndarray) -> PackedMatrix:
    """What stands for the weight ``W`` in many products, as long as it is not changed."""
    return PackedMatrix(W)


def as_packed(matrix: np.ndarray | PackedMatrix) -> PackedMatrix:
    """The matrix as products take it again and again."""
    return matrix if isinstance(matrix, PackedMatrix) else PackedMatrix(matrix)


def unpacked(matrix: np.ndarray | PackedMatrix) -> np.ndarray:
    """The matrix as an array."""
    return matrix.array if isinstance(matrix, PackedMatrix) else matrix


def for_backward(matrix: np.ndarray | PackedMatrix) -> np.ndarray:
    """The matrix as a cache keeps it.

    Raises:
        ValueError: it is narrow.
    """
    if isinstance(matrix, PackedMatrix) and matrix.kind != "float32":
        raise ValueError(f"weights in {matrix.kind} are there to be used; what is trained is in float32")
    return unpacked(matrix)


def gemm(
    a: np.ndarray,
    b: np.ndarray | PackedMatrix,
    out: np.ndarray | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    accumulate: bool = False,
    bias: np.ndarray | None = None,
    column_sums: np.ndarray | None = None,
) -> np.ndarray:
    """``out (+)= op(a) op(b) + bias``, all float32 and two-dimensional; ``bias`` (N,) is added to every row.

    ``a`` and ``b`` may lie in any way; rows of ``out``, which is made when not given, must be contiguous. ``column_sums``
    (N,) becomes the sum over the rows of op(b), added up in float64, which costs little while b is packed: the product that
    makes a weight's gradient, ``xᵀ dy``, makes that of the bias.

    Raises:
        ValueError: the shapes do not fit each other, an array is not float32, or ``out`` overlaps an input.
    """
    as_it_is = isinstance(b, PackedMatrix) and not transpose_b and column_sums is None
    packed: Any = b if as_it_is else None
    right: Any = b if as_it_is else unpacked(b)
    (m, k), (kb, n) = a.shape[:: -1 if transpose_a else 1], right.shape[:: -1 if transpose_b else 1]
    if k != kb:
        raise ValueError(f"cannot multiply ({m}, {k}) by ({kb}, {n})")
    if bias is not None and bias.shape != (n,):
        raise ValueError(f"bias has shape {bias.shape}, a row of the product has ({n},)")
    if out is None:
        out, accumulate = empty((m, n)), False
    else:
        _check_out(out, (m, n), a, None if as_it_is else right, bias)
    if m == 0 or n == 0:
        if column_sums is not None:
            column_sums[:] = right.sum(1 if transpose_b else 0)
        return out
    if accumulate and bias is not None:
        out += bias
    threads = threads_for(m * n * k)
    a = a.T if transpose_a else a
    before = out if accumulate else _ZEROS if bias is None else as_contiguous(bias)[None]
    if packed is not None and m <= few_rows.MOST_ROWS:
        _few_rows(a, packed, before, accumulate, out, threads)
        return out
    b_term = b_column = 0
    if packed is None:
        right, b_term, b_column = _operand(right.T if transpose_b else right)
        if m == 1 and b_column == 1 and column_sums is None:
            _one_row(as_contiguous(a), address_of(right), b_term, before, out, threads)
            return out
    a, a_row, a_term = _operand(a)
    c, c_row = address_of(out), out.strides[0] // 4
    start = (address_of(before), c_row if accumulate else 0, int(before is not _ZEROS))
    by_rows, by_columns = _grid(m, n, threads)
    a_space, b_space = work_space(m, k), 0
    if packed is None:
        b_at, b_space = address_of(right), work_space(n, k, of_b=True)
    else:
        b_at = address_of(packed.panels)
    work = empty((by_rows * by_columns, a_space + b_space))
    sums = None if column_sums is None else np.zeros(-(-n // COLUMNS) * COLUMNS)  # in float64, of whole panels
    _product(
        multiply.address,
        *(address_of(a), a_row, a_term, b_at, b_column, b_term, int(packed is not None), c, c_row, *start),
        *(m, n, k, 0 if sums is None else address_of(sums), by_rows, by_columns, address_of(work), a_space, b_space),
    )
    if column_sums is not None and sums is not None:
        column_sums[:] = sums[:n]
    return out


_ZEROS = np.zeros((1, few_rows.ZEROS.size), np.float32)


def _few_rows(
    a: np.ndarray, b: PackedMatrix, before: np.ndarray, accumulate: bool, out: np.ndarray, threads: int
) -> None:
    """``out = before + a b``: bound by reading b, which is done once."""
    a, a_row, a_term = _operand(a)
    if a_term != 1:
        a = as_contiguous(a)
        a_row = a.shape[1]
    c_row = out.strides[0] // 4
    product = (
        *(few_rows.PRODUCTS[b.kind].address, few_rows.BYTES[b.kind], address_of(a), a_row),
        *(address_of(b.of_few_rows), address_of(b.scales)),
        *(address_of(before), c_row if accumulate else 0, int(before is not _ZEROS), address_of(out), c_row),
        *(a.shape[0], b.shape[1], a.shape[1], segments_of(a.shape[1])),
    )
    if threads == 1:
        few_rows.multiply_alone(*product)
    else:
        few_rows.multiply(*product, threads)


def threads_for(multiply_adds: int) -> int:
    """How many threads a product takes."""
    return n_threads() if multiply_adds > _WORTH_THREADS else 1


def segments_of(k: int) -> int:
    """How many segments a sum of ``k`` terms is made of."""
    return max(1, -(-k // INNER_BLOCK))


def address_of(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _operand(x: np.ndarray) -> tuple[np.ndarray, int, int]:
    """The matrix, and the distances between its rows and between its columns, in floats, one of which is 1."""
    if x.dtype != np.float32:
        raise ValueError(f"the matrix product computes in float32, and got {x.dtype}")
    row, column = x.strides
    if not (4 in (row, column) and row % 4 == column % 4 == 0 and x.flags.aligned):
        x = np.array(x, order="C")
        row, column = x.strides
    return x, row // 4, column // 4


def _check_out(out: np.ndarray, shape: tuple[int, int], *inputs: np.ndarray | None) -> None:
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, the product has {shape}")
    flags = out.flags
    contiguous_rows = out.strides[1] == 4 or out.shape[1] == 1 or out.size == 0
    if out.dtype != np.float32 or not (contiguous_rows and flags.aligned and flags.writeable):
        raise ValueError("out must be a writeable float32 array with contiguous rows")
    for array in inputs:
        if array is not None and np.may_share_memory(out, array) and np.shares_memory(out, array):
            raise ValueError("out overlaps an input: it would be changed while it is read")


def work_space(count: int, k: int, *, of_b: bool = False) -> int:
    """How many floats :func:`multiply` needs to pack ``count`` rows of A, or columns of B, of ``k`` numbers each."""
    height, most = (COLUMNS, BLOCK_COLUMNS) if of_b else (ROWS, BLOCK_ROWS)
    return (-(-min(count, most) // height) + 1) * (height * min(k, SEGMENTS * INNER_BLOCK) + WIDTH)


@functools.lru_cache(maxsize=4096)
def _grid(m: int, n: int, threads: int) -> tuple[int, int]:
    """How many threads share the rows of C, and how many its columns: what costs the slowest of them least."""
    tiles, panels = -(-m // ROWS), -(-n // COLUMNS)

    def cost(by_rows: int) -> int:
        rows, columns = -(-tiles // by_rows) * ROWS, -(-panels // (threads // by_rows)) * COLUMNS
        return rows * columns + 16 * (rows + columns)  # the products, and the packing

    by_rows = min((d for d in range(1, threads + 1) if threads % d == 0), key=cost)
    return by_rows, threads // by_rows


def pack(b: np.ndarray, transpose: bool = False) -> np.ndarray:
    """The columns of ``b`` (K, N), or of its transpose, in panels: (ceil(N / COLUMNS), K, COLUMNS)."""
    b, term, column = _operand(b.T if transpose else b)
    k, n = b.shape
    panels = empty((-(-n // COLUMNS), k, COLUMNS))
    _pack(address_of(b), column, term, n, k, address_of(panels), n_threads() if n * k > _WORTH_THREADS else 1)
    return panels


@kernel(parallel=True)
def _pack(b, column, term, n, k, panels, threads):
    for thread in prange(threads):
        first, last = share(-(-n // COLUMNS), thread, threads)
        if first < last:
            at, count = b + 4 * first * COLUMNS * column, min(n, last * COLUMNS) - first * COLUMNS
            pack_tiles(at, column, term, count, k, np.int64(COLUMNS), panels + 4 * first * k * COLUMNS, k * COLUMNS)


@kernel()
def pack_tiles(x, row, term, count, k, height, out, tile_step):
    """``count`` rows of ``k`` numbers in tiles: number p of row i of a tile, ``x[4 (i row + p term)]``, goes to ``p height + i``.

    ``row`` or ``term`` is 1. Tiles begin ``tile_step`` floats apart; between them, up to WIDTH floats may be written.
    """
    tiles, padded = -(-count // height), -(-height // WIDTH) * WIDTH
    if term == 1:
        for t in range(tiles):
            i = t * height
            _pack_across(x + 4 * i * row, row, min(height, count - i), k, height, out + 4 * t * tile_step)
        return
    readable = (count - padded) // height + 1 if count >= padded else 0  # tiles that may be read in whole vectors
    for tile0 in range(0, tiles, _TILES_AT_ONCE):
        tile1 = min(tiles, tile0 + _TILES_AT_ONCE)
        whole = max(tile0, min(tile1, readable))
        for p in range(k):
            from_here, to = x + 4 * p * term, out + 4 * p * height
            for t in range(tile0, whole):
                for i in range(0, height, WIDTH):
                    at = from_here + 4 * (t * height + i)
                    copy_vector(at, at + 4 * _PREFETCH_ROWS * term, to + 4 * (t * tile_step + i))
            for t in range(whole, tile1):
                for i in range(min(height, count - t * height)):
                    store_float(float_at(from_here + 4 * (t * height + i)), to + 4 * (t * tile_step + i))


@kernel()
def _pack_across(x, row, count, k, height, out):
    """A tile whose rows lie apart: squares of it are transposed, the last rows first, since they may write too far."""
    whole = k - k % WIDTH
    to_next_tile = height * row - whole
    for p in range(0, whole, WIDTH):
        later = _PREFETCH_FLOATS if p + _PREFETCH_FLOATS < whole else to_next_tile + _PREFETCH_FLOATS
        for i in range((count - 1) // WIDTH * WIDTH, -1, -WIDTH):
            from_here, to = x + 4 * (i * row + p), out + 4 * (p * height + i)
            transpose_block(from_here, row, min(WIDTH, count - i), later, to, height)
    for i in range(count):
        for p in range(whole, k):
            store_float(float_at(x + 4 * (i * row + p)), out + 4 * (p * height + i))


def _multiply(
    a, a_row, a_term, b, b_column, b_term, packed, c, c_row, start, start_row, start_column, m, n, k, a_work, b_work, b_sums
):  # fmt: skip
    segments = max(1, -(-k // INNER_BLOCK))
    height = -(-m // -(-m // ROWS))  # tiles of about the same height, which is even
    height += height % 2
    block_rows = BLOCK_ROWS // height * height
    for j0 in range(0, n, BLOCK_COLUMNS):
        columns = min(BLOCK_COLUMNS, n - j0)
        for s0 in range(0, segments, SEGMENTS):
            s1 = min(s0 + SEGMENTS, segments)
            k0, k1 = k * s0 // segments, k * s1 // segments
            if packed:
                panels, panel_step = b + 4 * (j0 * k + k0 * COLUMNS), k * COLUMNS
            else:
                panels, panel_step = b_work, (k1 - k0) * COLUMNS + WIDTH
                at = b + 4 * (j0 * b_column + k0 * b_term)
                pack_tiles(at, b_column, b_term, columns, k1 - k0, np.int64(COLUMNS), panels, panel_step)
                for j in range(0, columns if b_sums else 0, COLUMNS):
                    add_panel_sums(panels + 4 * (j // COLUMNS) * panel_step, k1 - k0, b_sums + 8 * (j0 + j))
            tile_step = (k1 - k0) * height + WIDTH
            for i0 in range(0, m, block_rows):
                rows = min(block_rows, m - i0)
                at = a + 4 * (i0 * a_row + k0 * a_term)
                pack_tiles(at, a_row, a_term, rows, k1 - k0, height, a_work, tile_step)
                for j in range(0, columns, COLUMNS):
                    panel, tile = panels + 4 * (j // COLUMNS) * panel_step, a_work
                    for i in range(0, rows, height):
                        to = c + 4 * ((i0 + i) * c_row + j0 + j)
                        for s in range(s0, s1):
                            first, last = k * s // segments, k * (s + 1) // segments
                            before, before_row = to, c_row
                            if s == 0:
                                before = start + 4 * ((i0 + i) * start_row + (j0 + j) * start_column)
                                before_row = start_row
                            tile_kernel(
                                min(height, rows - i),
                                min(COLUMNS, columns - j),
                                last - first,
                                tile + 4 * (first - k0) * height,
                                height,
                                panel + 4 * (first - k0) * COLUMNS,
                                COLUMNS,
                                before,
                                before_row,
                                to,
                                c_row,
                            )
                        tile += 4 * tile_step


#: ``C = S + A B`` within one thread: kernels take its ``address`` and :func:`call` it. Its numbers are ``a, a_row, a_term, b,
#: b_column, b_term, packed, c, c_row, start, start_row, start_column, m, n, k, a_work, b_work, b_sums``: addresses, with strides
#: in floats. B is packed already (:func:`pack`) or will be, into ``b_work``; A is packed into ``a_work``. The columns of a B that
#: is not packed yet are added to ``b_sums`` (float64, whole panels), unless that is 0. m and n are above 0.
multiply = Callback(_multiply, types.void(*[types.int64] * 18))


@kernel(parallel=True)
def _product(
    multiply,
    a, a_row, a_term, b, b_column, b_term, packed, c, c_row, start, start_row, start_column, m, n, k,
    b_sums, by_rows, by_columns, work, a_space, b_space,
):  # fmt: skip
    for thread in prange(by_rows * by_columns):
        m0, m1 = share(m, thread // by_columns, by_rows)
        panel0, panel1 = share(-(-n // COLUMNS), thread % by_columns, by_columns)
        n0, n1 = panel0 * COLUMNS, min(n, panel1 * COLUMNS)
        if m0 < m1 and n0 < n1:
            a_work = work + 4 * thread * (a_space + b_space)
            a_part = (a + 4 * m0 * a_row, a_row, a_term)
            b_part = (b + 4 * n0 * (k if packed else b_column), b_column, b_term, packed)
            c_part = (c + 4 * (m0 * c_row + n0), c_row)
            start_part = (start + 4 * (m0 * start_row + n0 * start_column), start_row, start_column)
            sums = b_sums + 8 * n0 if b_sums and m0 == 0 else 0  # those who share the columns need not all sum them
            sizes_and_work = (m1 - m0, n1 - n0, k, a_work, a_work + 4 * a_space, sums)
            call(multiply, a_part + b_part + c_part + start_part + sizes_and_work)


@kernel()
def add_rows_product(multiply, a, panels, y, first, last, work):
    """``y[first:last] += a[first:last] B`` within one thread, for the step of a recurrence; B as :func:`pack` leaves it.

    ``multiply`` is that function's address; ``work``, :func:`work_space` floats, is the thread's own; a (N, K) and y (N, M)
    are contiguous.
    """
    if first < last:
        k, n = a.shape[1], y.shape[1]
        a_at, y_at = address(a) + 4 * first * k, address(y) + 4 * first * n
        b_at, at = address(panels), address(work)
        call(multiply, (a_at, k, 1, b_at, 0, 0, 1, y_at, n, y_at, n, 1, last - first, n, k, at, at, 0))


@kernel(parallel=True)
def _one_row(a, b, b_step, start, c, threads):
    """A row (1, K) times a matrix at an address: bound by reading it, which is done once, where it lies.

    ``start``, that the sums are added to, is (1, N), or anything shorter for zeros.
    """
    n = c.shape[1]
    start_step = 1 if start.shape[1] == n else 0
    for thread in prange(threads):
        first, last = columns_of(b, n, thread, threads)
        row_product(address(a), a.shape[1], b, b_step, address(start), start_step, address(c), first, last)


@kernel()
def columns_of(b, n, thread, threads):
    """The half-open range of B's ``n`` columns that a thread takes: it begins on a cache line, as :func:`row_kernel` has it."""
    to_line = b // 4 % WIDTH
    first, last = share(-(-(to_line + n) // WIDTH), thread, threads)
    first = max(0, first * WIDTH - to_line)
    return first, max(first, min(n, last * WIDTH - to_line))


@kernel()
def row_product(a, k, b, b_step, start, start_step, c, first, last):
    """``c[first:last] = s[first:last] + a B[:, first:last]`` within one thread, for ``k`` adjacent numbers a: all addresses."""
    segments = max(1, -(-k // INNER_BLOCK))
    for s in range(segments):
        k0, k1 = share(k, s, segments)
        before, step = (c, 1) if s else (start, start_step)
        part = b + 4 * (k0 * b_step + first)
        row_kernel(last - first, k1 - k0, a + 4 * k0, part, b_step, before + 4 * first * step, step, c + 4 * first)
