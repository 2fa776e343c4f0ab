"""Matrix product in float32: packed panels of B and a register-tiled micro-kernel, in parallel.

A block of A and a block of B are copied ("packed") into the order in which the micro-kernel reads them: tiles of rows of A,
panels of columns of B. An operand is found by its address and two strides, one of which is 1: transposed operands and
slices are packed from where they lie. Every number of C is summed by one thread in the order of k: the result depends
neither on the number of threads nor on the rows beside. Nothing here calls a BLAS library: its threads and Numba's would
fight for the cores.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numba import carray, prange, types

from scratchlv.kernels.building_blocks.compiling import Callback, kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, tanh
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import WIDTH, address, call, float_at, pointer, store_float
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item, pieces, share, waking
from scratchlv.kernels.matmul import few_rows
from scratchlv.kernels.matmul.micro_kernels import (
    COLUMNS,
    HEIGHT,
    TILE_COLUMNS,
    TILE_ROWS,
    add_panel_sums,
    copy_vector,
    row_kernel,
    tile_kernel,
    transpose_block,
)
from scratchlv.memory import CACHE_LINE, as_contiguous, empty

#: So many terms at most, a segment, are summed from zero before they are added to C: errors stay small. Bits depend on it.
INNER_BLOCK = 640
#: Panels of B, or tiles of A, of an item: what a thread packs and multiplies at once stays in its second-level cache.
_ITEM_COLUMNS = value("matmul.item_columns")
_ITEM_ROWS = value("matmul.item_rows")
_LINE_OF_COUNTERS = CACHE_LINE // 8  # each counter has a cache line of its own
_TILES_AT_ONCE = 8  # are packed side by side: so much of a row is read in one go
_ONE_COPY_FROM = value("matmul.one_copy_from")  # threads: fewer pack what they all need each for itself
_PREFETCH_ROWS = value("matmul.prefetch_rows")  # so many rows before they are packed, they are asked for
_PREFETCH_FLOATS = value("matmul.prefetch_floats")  # the same where rows are packed across: so many numbers of each
_WORTH_THREADS = value("matmul.worth_threads")  # multiply-adds; waking threads for fewer takes longer than they do
_ZERO, _ONE = np.float32(0), np.float32(1)
Epilogue = Literal["none", "tanh", "relu", "tanh_backward", "relu_backward"]
_EPILOGUES = get_args(Epilogue)
_, _TANH, _RELU, _TANH_BACKWARD, _RELU_BACKWARD = range(len(_EPILOGUES))
#: A is packed: by all threads, and its tiles pass by this thread's columns of B; or by this thread, and panels of B pass by.
_COMMON, _OWN = 1, 2


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

    @functools.cached_property
    def of_few_rows(self) -> np.ndarray:
        """The panels as products of few rows read them; their numbers are of the matrix's kind."""
        return pack(self.array, width=COLUMNS)

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
    epilogue: Epilogue = "none",
    y: np.ndarray | None = None,
) -> np.ndarray:
    """``out (+)= op(a) op(b) + bias``, all float32 and two-dimensional; ``bias`` (N,) is added to every row.

    ``a`` and ``b`` may lie in any way; rows of ``out``, which is made when not given, must be contiguous. ``column_sums``
    (N,) becomes the sum over the rows of op(b), added up in float64, which costs little while b is packed: the product that
    makes a weight's gradient, ``xᵀ dy``, makes that of the bias.

    ``epilogue`` says what becomes of the result C while a tile of it is in the cache: ``tanh(C)`` or ``max(C, 0)``; or, on
    the way back, the product with the slope of what gave ``y`` (M, N): ``"tanh_backward"`` makes ``C (1 - y²)``, and
    ``"relu_backward"`` 0 where y is 0. All give the bits that a sweep over C would give.

    Raises:
        ValueError: the shapes do not fit each other, an array is not float32, ``out`` overlaps an input, there is no such
            epilogue, or it needs a ``y`` that is not given, or is given one that it does not need.
    """
    as_it_is = isinstance(b, PackedMatrix) and not transpose_b and column_sums is None
    packed: Any = b if as_it_is else None
    right: Any = b if as_it_is else unpacked(b)
    (m, k), (kb, n) = a.shape[:: -1 if transpose_a else 1], right.shape[:: -1 if transpose_b else 1]
    if k != kb:
        raise ValueError(f"cannot multiply ({m}, {k}) by ({kb}, {n})")
    if bias is not None and bias.shape != (n,):
        raise ValueError(f"bias has shape {bias.shape}, a row of the product has ({n},)")
    last_step = _last_step(epilogue, y, (m, n))
    if out is None:
        out, accumulate = empty((m, n)), False
    else:
        _check_out(out, (m, n), a, None if as_it_is else right, bias, y)
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
        if last_step[0]:
            _finish(*last_step, address_of(out), out.strides[0] // 4, m, n)
        return out
    b_term = b_column = 0
    if packed is None:
        right, b_term, b_column = _operand(right.T if transpose_b else right)
        if m == 1 and b_column == 1 and column_sums is None:
            with waking(threads > 1):
                _one_row(as_contiguous(a), address_of(right), b_term, before, out, *last_step, threads)
            return out
    a, a_row, a_term = _operand(a)
    c, c_row = address_of(out), out.strides[0] // 4
    start = (address_of(before), c_row if accumulate else 0, int(before is not _ZEROS))
    b_at = address_of(right) if packed is None else address_of(packed.panels)
    items = _items(m, n, threads)
    b_term, b_column = (b_term, b_column) if packed is None else (k * TILE_COLUMNS, 0)
    common, own = _spaces(m, n, k, packed is not None, items)
    step = own if threads >= _ONE_COPY_FROM else common + own
    work = empty(common + threads * step)
    of_panels = -(-n // TILE_COLUMNS) * TILE_COLUMNS
    sums = None if column_sums is None else np.zeros(of_panels)  # in float64
    with waking(threads > 1):
        _product(
            multiply.address,
            *(address_of(a), a_row, a_term, b_at, b_column, b_term, int(packed is not None), c, c_row, *start),
            *(*last_step, m, n, k, 0 if sums is None else address_of(sums)),
            *(*items, threads, address_of(work), common, step),
        )
    if column_sums is not None and sums is not None:
        column_sums[:] = sums[:n]
    return out


_ZEROS = np.zeros((1, max(TILE_COLUMNS, few_rows.ZEROS.size)), np.float32)


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


def _last_step(epilogue: str, y: np.ndarray | None, shape: tuple[int, int]) -> tuple[int, int, int]:
    """The number of an epilogue, the address of its y, and the distance of y's rows in floats."""
    if epilogue not in _EPILOGUES:
        raise ValueError(f"there is no epilogue {epilogue!r}, only {', '.join(_EPILOGUES)}")
    number = _EPILOGUES.index(epilogue)
    if number < _TANH_BACKWARD:
        if y is not None:
            raise ValueError(f"epilogue {epilogue!r} takes no y")
        return number, 0, 0
    if y is None or y.shape != shape or y.dtype != np.float32 or not y.flags.c_contiguous or not y.flags.aligned:
        raise ValueError(f"epilogue {epilogue!r} needs y, contiguous, in float32, of shape {shape}")
    return number, address_of(y), shape[1]


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


def work_space(count: int, k: int, height: int = TILE_ROWS) -> int:
    """How many floats :func:`multiply` needs to pack ``count`` rows of A, of ``k`` numbers each, or columns of B in panels."""
    return (-(-count // height) + 1) * (height * min(k, INNER_BLOCK) + WIDTH)


class Items(NamedTuple):
    """How a product is cut into items.

    The longer side of C is cut into pieces of tiles or panels: what of A or B belongs to one, a thread packs for itself, and it
    stays in its second-level cache while the parts of the other side pass by. A thread takes the parts of its own pieces first,
    and then those that others have left. The other side is common to all pieces: many threads pack it together, once; a few each
    for itself, since what another core has written may have to come from far (an EPYC's cores are in groups of eight), more
    slowly than it is packed.
    """

    by_columns: int  #: whether the longer side is that of the columns
    pieces: int  # of the longer side
    parts: int  # of the other


@functools.lru_cache(maxsize=4096)
def _items(m: int, n: int, threads: int) -> Items:
    tiles, panels = -(-m // TILE_ROWS), -(-n // TILE_COLUMNS)
    by_columns = int(n > m)
    longer, other, most = tiles, panels, _ITEM_ROWS // TILE_ROWS
    if by_columns:
        longer, other, most = panels, tiles, _ITEM_COLUMNS // TILE_COLUMNS
    n_pieces = min(longer, threads * -(-longer // (threads * most)))
    return Items(by_columns, n_pieces, min(other, -(-pieces(1 << 40, threads) // n_pieces)))


def _spaces(m: int, n: int, k: int, packed: bool, items: Items) -> tuple[int, int]:
    """Floats of what is packed for all threads, and of what each packs for itself."""
    piece = -(-m // TILE_ROWS), -(-n // TILE_COLUMNS)
    if items.by_columns:
        columns = 0 if packed else (-(-piece[1] // items.pieces)) * TILE_COLUMNS
        return work_space(m, k), work_space(columns, k, TILE_COLUMNS)
    return 0 if packed else work_space(n, k, TILE_COLUMNS), work_space(-(-piece[0] // items.pieces) * TILE_ROWS, k)


def pack(b: np.ndarray, transpose: bool = False, width: int = TILE_COLUMNS) -> np.ndarray:
    """The columns of ``b`` (K, N), or of its transpose, in panels: (ceil(N / width), K, width)."""
    b, term, column = _operand(b.T if transpose else b)
    k, n = b.shape
    panels = empty((-(-n // width), k, width))
    with waking(n * k > _WORTH_THREADS) as threads:
        _pack(address_of(b), column, term, n, k, width, address_of(panels), threads)
    return panels


@kernel(parallel=True)
def _pack(b, column, term, n, k, width, panels, threads):
    for thread in prange(threads):
        first, last = share(-(-n // width), thread, threads)
        if first < last:
            at, count = b + 4 * first * width * column, min(n, last * width) - first * width
            pack_tiles(at, column, term, count, k, width, panels + 4 * first * k * width, k * width)


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
        _clear_rest(out + 4 * (tiles - 1) * tile_step, count - (tiles - 1) * height, k, height)
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
    _clear_rest(out + 4 * (tiles - 1) * tile_step, count - (tiles - 1) * height, k, height)


@kernel()
def _clear_rest(tile, count, k, height):
    """Zeros in the rows that a tile lacks: what lay there may be denormal, of which Intel's processors make heavy weather."""
    if 0 < count < height:
        for p in range(k):
            for i in range(count, height):
                store_float(np.float32(0), tile + 4 * (p * height + i))


@kernel()
def _pack_across(x, row, count, k, height, out):
    """A tile whose rows lie apart: squares of it are transposed, the last rows first, since they may write too far.

    WIDTH rows are read from end to end: more at once, if pages apart, would push each other out of the first-level cache.
    """
    whole, last = k - k % WIDTH, (count - 1) // WIDTH * WIDTH
    for i in range(last, -1, -WIDTH):
        to_next = ((height + last if i == 0 else i - WIDTH) - i) * row - whole
        for p in range(0, whole, WIDTH):
            later = _PREFETCH_FLOATS if p + _PREFETCH_FLOATS < whole else to_next + _PREFETCH_FLOATS
            from_here, to = x + 4 * (i * row + p), out + 4 * (p * height + i)
            transpose_block(from_here, row, min(WIDTH, count - i), later, to, height)
    for i in range(count):
        for p in range(whole, k):
            store_float(float_at(x + 4 * (i * row + p)), out + 4 * (p * height + i))


@kernel(fastmath=FLAGS)
def _finish(epilogue, y, y_row, c, c_row, rows, columns):
    """The epilogue of a tile of C, in place; all but ``epilogue``, ``rows`` and ``columns`` are addresses and distances."""
    for i in range(rows):
        of_c = carray(pointer(c + 4 * i * c_row), columns)
        if epilogue == _TANH:
            for j in range(of_c.size):
                of_c[j] = tanh(of_c[j])
        elif epilogue == _RELU:
            for j in range(of_c.size):
                of_c[j] = _ZERO if of_c[j] <= _ZERO else of_c[j]  # NaN stays
        else:
            of_y = carray(pointer(y + 4 * i * y_row), columns)
            if epilogue == _TANH_BACKWARD:
                for j in range(of_c.size):
                    of_c[j] = of_c[j] * (_ONE - of_y[j] * of_y[j])
            else:
                for j in range(of_c.size):
                    of_c[j] = _ZERO if of_y[j] <= _ZERO else of_c[j]


@kernel()
def tile_height(m):
    """Rows of the tiles that ``m`` rows are packed in: two that registers hold, which are about equally high, and even."""
    height = -(-m // -(-m // HEIGHT))
    height += height % 2
    return height if m <= height else 2 * height


def _multiply(
    a, a_row, a_term, a_packed, b, b_column, b_term, b_packed, c, c_row, start, start_row, start_column,
    epilogue, y, y_row, m, n, k, a_work, b_work, b_sums,
):  # fmt: skip
    segments = max(1, -(-k // INNER_BLOCK))
    height, tile_step, panel_step, width = a_row, a_term, b_term, np.int64(TILE_COLUMNS)
    for s in range(segments):
        k0, k1 = share(k, s, segments)
        tiles, panels = a + 4 * k0 * height, b + 4 * k0 * TILE_COLUMNS
        in_place = 0  # panels that are read where they lie: a single tile of rows is not worth a copy of B
        if not b_packed:
            in_place = n // TILE_COLUMNS if m <= HEIGHT and b_column == 1 and not b_sums else 0
            done = in_place * TILE_COLUMNS
            panels, panel_step = b_work, (k1 - k0) * TILE_COLUMNS + WIDTH
            at = b + 4 * (k0 * b_term + done * b_column)
            pack_panels(at, b_column, b_term, n - done, k1 - k0, panels, panel_step, b_sums)
        if not a_packed:
            height = tile_height(m)
            tiles, tile_step = a_work, (k1 - k0) * height + WIDTH
            pack_tiles(a + 4 * k0 * a_term, a_row, a_term, m, k1 - k0, height, tiles, tile_step)
        n_tiles, n_panels = -(-m // height), -(-n // TILE_COLUMNS)
        for item in range(n_tiles * n_panels):
            # what is common to all threads lies further away, and stays for all that is this thread's own to pass by
            t, p = (item // n_panels, item % n_panels) if a_packed == _COMMON else (item % n_tiles, item // n_tiles)
            i, j = t * height, p * TILE_COLUMNS
            to, rows, columns = c + 4 * (i * c_row + j), min(height, m - i), min(TILE_COLUMNS, n - j)
            before, before_row = to, c_row
            if s == 0:
                before, before_row = start + 4 * (i * start_row + j * start_column), start_row
            tile, panel, b_step = tiles + 4 * t * tile_step, panels + 4 * (p - in_place) * panel_step, width
            if p < in_place:
                panel, b_step = b + 4 * (k0 * b_term + j), b_term
            tile_kernel(rows, columns, k1 - k0, tile, height, panel, b_step, before, before_row, to, c_row)
            if epilogue and s == segments - 1:
                _finish(epilogue, y + 4 * (i * y_row + j), y_row, to, c_row, rows, columns)


#: ``C = S + A B`` within one thread: kernels take its ``address`` and :func:`call` it. Its numbers are ``a, a_row, a_term,
#: a_packed, b, b_column, b_term, b_packed, c, c_row, start, start_row, start_column, epilogue, y, y_row, m, n, k, a_work,
#: b_work, b_sums``: addresses, with strides in floats. A and B are packed already, or will be, into ``a_work`` and ``b_work``;
#: of a packed A (``_COMMON`` or ``_OWN``) the row is the height of its tiles, and the term the distance from one to the next;
#: of a packed B (:func:`pack`) the term is the distance of its panels. The columns of a B that is not packed yet are added to
#: ``b_sums`` (float64, whole panels), unless that is 0. m and n are above 0.
multiply = Callback(_multiply, types.void(*[types.int64] * 22))


@kernel()
def pack_panels(b, column, term, n, k, panels, panel_step, sums):
    """``n`` columns of B in panels; they are added to ``sums``, unless that is 0."""
    pack_tiles(b, column, term, n, k, np.int64(TILE_COLUMNS), panels, panel_step)
    for j in range(0, n if sums else 0, TILE_COLUMNS):
        add_panel_sums(panels + 4 * (j // TILE_COLUMNS) * panel_step, k, sums + 8 * j)


@kernel()
def _pack_common(a, a_row, a_term, b, b_column, b_term, of_a, first, last, m, n, k, height, step, work):
    """Tiles ``first`` to ``last`` of A, or panels of B, to their places in ``work``."""
    to = work + 4 * first * step
    if of_a:
        i = first * height
        pack_tiles(a + 4 * i * a_row, a_row, a_term, min(m, last * height) - i, k, height, to, step)
    else:
        j = first * TILE_COLUMNS
        pack_panels(b + 4 * j * b_column, b_column, b_term, min(n, last * TILE_COLUMNS) - j, k, to, step, 0)


@kernel(parallel=True)
def _product(
    multiply, a, a_row, a_term, b, b_column, b_term, b_packed, c, c_row, start, start_row, start_column,
    epilogue, y, y_row, m, n, k, b_sums, by_columns, n_pieces, parts, threads, work, common, thread_step,
):  # fmt: skip
    """A segment of the inner sum after the other, an item at a time for each thread; see :class:`Items`."""
    segments, height = max(1, -(-k // INNER_BLOCK)), tile_height(m)
    tiles, panels = -(-m // height), -(-n // TILE_COLUMNS)
    to_pack = tiles if by_columns else 0 if b_packed else panels  # of the common side
    together = threads >= _ONE_COPY_FROM
    for s in range(segments):
        k0, k1 = share(k, s, segments)
        terms = k1 - k0
        a_at, b_at = a + 4 * k0 * a_term, b + 4 * k0 * (TILE_COLUMNS if b_packed else b_term)
        step = terms * (height if by_columns else TILE_COLUMNS) + WIDTH
        if together:
            counter, at_once = new_counter(), max(1, min(_TILES_AT_ONCE, to_pack // (4 * threads)))
            for _ in prange(min(threads, -(-to_pack // at_once))):
                first = next_item(counter) * at_once
                while first < to_pack:
                    last = min(to_pack, first + at_once)
                    _pack_common(
                        a_at, a_row, a_term, b_at, b_column, b_term, by_columns, first, last, m, n, terms, height, step, work
                    )  # fmt: skip
                    first = next_item(counter) * at_once
        counters = np.zeros((n_pieces, _LINE_OF_COUNTERS), np.int64)
        for thread in prange(min(threads, n_pieces * parts)):
            own = work + 4 * (common + thread * thread_step)
            packed, n_packed = (work, to_pack) if together else (own - 4 * common, np.int64(0))
            for q in range(n_pieces):
                piece = (thread * n_pieces // threads + q) % n_pieces
                part, is_fresh = next_item(counters[piece]), True
                while part < parts:
                    of_tiles, of_panels = (parts, n_pieces) if by_columns else (n_pieces, parts)
                    tile, panel = (part, piece) if by_columns else (piece, part)
                    tile0, tile1 = share(tiles, tile, of_tiles)
                    panel0, panel1 = share(panels, panel, of_panels)
                    i, rows = tile0 * height, min(m, tile1 * height) - tile0 * height
                    j, columns = panel0 * TILE_COLUMNS, min(n, panel1 * TILE_COLUMNS) - panel0 * TILE_COLUMNS
                    needed = min(to_pack, tile1 if by_columns else panel1)
                    if needed > n_packed:
                        _pack_common(
                            a_at, a_row, a_term, b_at, b_column, b_term, by_columns, n_packed, needed, m, n, terms, height,
                            step, packed,
                        )  # fmt: skip
                        n_packed = needed
                    a_part, a_packed = (a_at + 4 * i * a_row, a_row, a_term), 0
                    b_part, b_is_packed = (b_at + 4 * j * b_column, b_column, b_term), 0
                    sums = b_sums + 8 * j if b_sums else 0
                    if by_columns:
                        a_part, a_packed = (packed + 4 * tile0 * step, height, step), _COMMON
                        sums = sums if part == 0 else 0
                    elif not is_fresh:
                        own_height = tile_height(rows)
                        a_part, a_packed = (own, own_height, terms * own_height + WIDTH), _OWN
                    if b_packed:
                        b_part, b_is_packed = (b_at + 4 * panel0 * b_term, b_column, b_term), 1
                    elif not by_columns:
                        b_part, b_is_packed = (packed + 4 * panel0 * step, b_column, step), 1
                        if sums and piece == 0:
                            for jj in range(0, columns, TILE_COLUMNS):
                                add_panel_sums(b_part[0] + 4 * (jj // TILE_COLUMNS) * step, terms, sums + 8 * jj)
                        sums = 0
                    elif not is_fresh:
                        b_part, b_is_packed = (own, b_column, terms * TILE_COLUMNS + WIDTH), 1
                    to = c + 4 * (i * c_row + j)
                    start_part = (to, c_row, np.int64(1))
                    if s == 0:
                        start_part = (start + 4 * (i * start_row + j * start_column), start_row, start_column)
                    last_step = (epilogue if s == segments - 1 else 0, y + 4 * (i * y_row + j), y_row)
                    operands = a_part + (a_packed,) + b_part + (b_is_packed, to, c_row)
                    call(multiply, operands + start_part + last_step + (rows, columns, terms, own, own, sums))
                    part, is_fresh = next_item(counters[piece]), False


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
        operands = (a_at, k, 1, 0, b_at, 0, k * TILE_COLUMNS, 1, y_at, n, y_at, n, 1)
        call(multiply, operands + (0, 0, 0, last - first, n, k, at, at, 0))


@kernel(parallel=True)
def _one_row(a, b, b_step, start, c, epilogue, y, y_row, threads):
    """A row (1, K) times a matrix at an address: bound by reading it, which is done once, where it lies.

    ``start``, that the sums are added to, is (1, N), or anything shorter for zeros.
    """
    n = c.shape[1]
    start_step = 1 if start.shape[1] == n else 0
    for thread in prange(threads):
        first, last = columns_of(b, n, thread, threads)
        row_product(address(a), a.shape[1], b, b_step, address(start), start_step, address(c), first, last)
        if epilogue:
            _finish(epilogue, y + 4 * first, y_row, address(c) + 4 * first, n, 1, last - first)


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
