"""Convolution by Winograd's minimal filtering, F(4x4, 3x3): four times fewer multiplications for 3x3 windows.

Lavin & Gray 2016. The output is cut into tiles of 4x4 pixels; each depends on 6x6 pixels of x. For one tile d of one input
channel and one 3x3 window g,

    y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A

and the sum over input channels can be taken inside the brackets. So x is transformed tile by tile (Bᵀ d B: 36 numbers), each
of the 36 is a matrix product over channels, tiles by C times C by M, and what comes out is transformed back (Aᵀ · A: 16
numbers), with bias, ReLU and pooling while it is in registers. 36 multiplications for 16 outputs stand against 144.

The gradient with respect to x is such a convolution of dy with the window flipped. That of the window follows from the
formula above, by the chain rule: dg = Gᵀ [Σ over tiles of (A dy Aᵀ) ⊙ (Bᵀ d B)] G, again 36 matrix products, this time with
the tiles as inner dimension.

The transforms add and subtract numbers of different size, which costs digits (README). A NaN or infinity in x reaches all of
the (up to four) tiles that see it: "minimal" means that every product serves many outputs.
"""

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import I64, WIDTH, address, constant
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item, pieces, share
from scratchlv.kernels.conv2d.micro_kernels import CHANNELS, outer_products
from scratchlv.kernels.matmul.micro_kernels import COLUMNS, FEW_ROWS, ROWS, few_rows_kernel, rows_kernel
from scratchlv.kernels.max_pool2d.vectors import BYTES, CLOSED, PixelEmitter, place
from scratchlv.memory import empty, zeros

TILE = 4  # rows and columns of y in a tile
INPUT_TILE = 6  # rows and columns of x that a tile sees
FEWEST_CHANNELS = 16  # with fewer, of x or of y, the transforms cost more than they save
POINTS = INPUT_TILE * INPUT_TILE  # products for each pair of channels
B_T = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
A_T = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
NO_ARGMAX = np.empty((0, 0, 0, 0), np.uint8)
assert FEWEST_CHANNELS >= WIDTH  # the last vector of channels overlaps the one before: so there must be one

_BLOCK = value("conv2d.winograd_block")  # bytes of a thread's transformed tiles
_CHUNK = value("conv2d.winograd_chunk")  # bytes of tiles that all threads transform together
_WEIGHTS = value("conv2d.winograd_weights")  # bytes of transformed weights that are read again for every block of tiles
_SUMMED_CHUNK = 1 << 22  # bytes of tiles whose part of the gradient of W is summed: it sets the order of the sum
_ALL = 3  # steps
_SUMMED = 256  # tiles that are summed at most before they are added to the gradient of W


# --- the transforms, in registers --------------------------------------------------------------------------------

# In all these matrices rows (or columns) 1 and 2, and 3 and 4, are mirror images: an even part plus and minus an odd one. With
# the halves taken out, x -> (x0, x1 + x2, x1 - x2, x3 + x4, x3 - x4, x5), half of what is left is zeros.
_HALVES = np.linalg.inv(
    [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 1, -1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, -1, 0],
        [0, 0, 0, 0, 0, 1],
    ]
)


def _butterfly(e: PixelEmitter, x):
    add, subtract = e.builder.fadd, e.builder.fsub
    return [x[0], add(x[1], x[2]), subtract(x[1], x[2]), add(x[3], x[4]), subtract(x[3], x[4]), x[5]]


def _combination(e: PixelEmitter, coefficients, x):
    """Σ c x over a few vectors; the coefficients are known now, while the code is made."""
    terms = sorted(((c, v) for c, v in zip(coefficients, x, strict=True) if c != 0), key=lambda term: term[0] != 1)
    c, total = terms[0]
    if c != 1:
        total = e.builder.fmul(constant(np.float32(c)), total)
    for c, vector in terms[1:]:
        if abs(c) == 1:
            total = (e.builder.fadd if c == 1 else e.builder.fsub)(total, vector)
        else:
            total = e.fma(constant(np.float32(c)), vector, total)
    return total


def _apply(e: PixelEmitter, matrix, x):
    if len(matrix) == INPUT_TILE:
        return _butterfly(e, [_combination(e, row, x) for row in np.round(_HALVES @ matrix * 48) / 48])
    x = _butterfly(e, x)
    return [_combination(e, row, x) for row in np.round(matrix @ _HALVES * 48) / 48]


def _transform(e: PixelEmitter, matrix, rows):
    """T X Tᵀ for a grid of vectors."""
    columns = [_apply(e, matrix, column) for column in zip(*rows, strict=True)]
    return [_apply(e, matrix, row) for row in zip(*columns, strict=True)]


def _load_pixels(e: PixelEmitter, table, offset, side: int):
    words = [e.load_word(e.builder.add(table, I64(8 * k))) for k in range(side * side)]
    vectors = [e.load(e.address(word, offset)) for word in words]
    return [vectors[side * i : side * (i + 1)] for i in range(side)]


def _load_unpooled(e: PixelEmitter, table, argmaxes, offset, side: int):
    """The gradient before pooling, from the pooled one and its argmaxes; a tile's window begins one pixel early (``side`` 6)."""
    first = (side - TILE) // 2
    pooled = (first + side + 1) // 2
    words = [e.load_word(e.builder.add(table, I64(8 * k))) for k in range(pooled * pooled)]
    gradients = [e.load(e.address(word, offset)) for word in words]
    words = [e.load_word(e.builder.add(argmaxes, I64(8 * k))) for k in range(pooled * pooled)]
    places = [e.load_lanes(e.builder.add(word, offset), BYTES) for word in words]
    rows = []
    for i in range(first, first + side):
        row = []
        for j in range(first, first + side):
            window = (i // 2) * pooled + j // 2
            row.append(e.taken(gradients[window], places[window], 2 * (i % 2) + j % 2))
        rows.append(row)
    return rows


def _store_points(e: PixelEmitter, rows, to, stride) -> None:
    vectors = [vector for row in rows for vector in row]
    for k, vector in enumerate(vectors):
        e.store(vector, e.address(to, e.builder.mul(stride, I64(k))))


def _load_points(e: PixelEmitter, at, stride):
    vectors = [e.load(e.address(at, e.builder.mul(stride, I64(k)))) for k in range(POINTS)]
    return [vectors[INPUT_TILE * i : INPUT_TILE * (i + 1)] for i in range(INPUT_TILE)]


def _from_pixels(matrix, side: int):
    @intrinsic
    def transform(typing_context, table, offset, to, stride):
        def emit(context, builder, signature, arguments):
            table, offset, to, stride = arguments
            e = PixelEmitter(builder)
            _store_points(e, _transform(e, matrix, _load_pixels(e, table, offset, side)), to, stride)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), emit

    return transform


def _from_pooled(matrix, side: int):
    @intrinsic
    def transform(typing_context, table, argmaxes, offset, to, stride):
        def emit(context, builder, signature, arguments):
            table, argmaxes, offset, to, stride = arguments
            e = PixelEmitter(builder)
            _store_points(e, _transform(e, matrix, _load_unpooled(e, table, argmaxes, offset, side)), to, stride)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), emit

    return transform


# ``table`` holds the addresses of the pixels, ``offset`` counts channels, the points are written ``stride`` floats apart.
_input = _from_pixels(B_T, INPUT_TILE)  # Bᵀ d B
_gradient = _from_pixels(A_T.T, TILE)  # A dy Aᵀ
_input_unpooled = _from_pooled(B_T, INPUT_TILE)
_gradient_unpooled = _from_pooled(A_T.T, TILE)
_window = _from_pixels(G, 3)  # G g Gᵀ


def _window_gradient_emit(context, builder, signature, arguments):
    at, stride, table, offset = arguments
    e = PixelEmitter(builder)
    rows = _transform(e, G.T, _load_points(e, at, stride))
    for k, vector in enumerate(vector for row in rows for vector in row):
        e.store(vector, e.address(e.load_word(builder.add(table, I64(8 * k))), offset))
    return context.get_dummy_value()


@intrinsic
def _window_gradient(typing_context, at, stride, table, offset):
    """Gᵀ · G of the points at ``at``, to the nine addresses of the table."""
    return types.void(*[types.int64] * 4), _window_gradient_emit


@intrinsic
def _output(typing_context, at, stride, table, offset, bias, floor):
    """Aᵀ · A, bias and ReLU, to the sixteen addresses of the table."""

    def emit(context, builder, signature, arguments):
        at, stride, table, offset, bias, floor = arguments
        e = PixelEmitter(builder)
        floor, bias = e.splat(floor), e.load(e.address(bias, offset))
        rows = _transform(e, A_T, _load_points(e, at, stride))
        for k, vector in enumerate(vector for row in rows for vector in row):
            value, _ = e.rectify(builder.fadd(vector, bias), floor)
            e.store(value, e.address(e.load_word(builder.add(table, I64(8 * k))), offset))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.float32), emit


@intrinsic
def _output_pooled(typing_context, at, stride, table, argmaxes, offset, bias, floor):
    """The same, and 2x2 max-pooling: to four addresses of each table. Adding the bias keeps the order: it comes last."""

    def emit(context, builder, signature, arguments):
        at, stride, table, argmaxes, offset, bias, floor = arguments
        e = PixelEmitter(builder)
        floor, bias = e.splat(floor), e.load(e.address(bias, offset))
        rows = _transform(e, A_T, _load_points(e, at, stride))
        for k, (i, j) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
            best, argmax = e.largest([rows[i][j], rows[i][j + 1], rows[i + 1][j], rows[i + 1][j + 1]])
            value, closed = e.rectify(builder.fadd(best, bias), floor)
            e.store(value, e.address(e.load_word(builder.add(table, I64(8 * k))), offset))
            argmax = builder.select(closed, place(CLOSED), argmax)
            e.store_lanes(argmax, builder.add(e.load_word(builder.add(argmaxes, I64(8 * k))), offset))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, types.float32), emit


# --- where pixels lie --------------------------------------------------------------------------------------------


@kernel(inline="always")
def _tile_place(tile, tiles_h, tiles_w):
    n, rest = divmod(tile, tiles_h * tiles_w)
    return n, rest // tiles_w, rest % tiles_w


@kernel()
def _addresses(base, elsewhere, shape, pixel, n, row, column, table):
    """Fill ``table`` with the addresses of a square of pixels of image n from (row, column); ``elsewhere`` outside.

    ``shape`` is (H, W) of the images at ``base``, whose pixels take ``pixel`` bytes.
    """
    H, W = shape
    for i in range(table.shape[0]):
        at = base + pixel * ((n * H + row + i) * W + column)
        inside = 0 <= row + i < H
        for j in range(table.shape[1]):
            table[i, j] = at + pixel * j if inside and 0 <= column + j < W else elsewhere


# --- the convolution ---------------------------------------------------------------------------------------------


def transform_weights(W: np.ndarray, flipped: bool = False) -> np.ndarray:
    """G g Gᵀ of each window of ``W`` (3, 3, C, M), in panels for the products: (36, panels, C, COLUMNS).

    With ``flipped``, those of the gradient with respect to x: flipped, inputs and outputs exchanged.
    """
    C, M = W.shape[2:][::-1] if flipped else W.shape[2:]
    U = empty((POINTS, -(-M // COLUMNS), C, COLUMNS))
    _transform_weights(W, U, M, flipped)
    return U


@kernel(parallel=True)
def _transform_weights(W, U, M, flipped):
    _, n_panels, C, _ = U.shape
    for c in prange(C):
        taps = np.zeros((9, n_panels * COLUMNS), np.float32)
        table = np.empty(9, np.int64)
        for tap in range(9):
            table[tap] = address(taps) + 4 * taps.shape[1] * tap
            i, j = tap // 3, tap % 3
            for m in range(M):
                taps[tap, m] = W[2 - i, 2 - j, m, c] if flipped else W[i, j, c, m]
        for m in range(0, n_panels * COLUMNS, WIDTH):
            to = address(U) + 4 * (((m // COLUMNS) * C + c) * COLUMNS + m % COLUMNS)
            _window(address(table), m, to, n_panels * C * COLUMNS)


def convolve(
    x: np.ndarray,
    U: np.ndarray,
    bias: np.ndarray,
    y: np.ndarray,
    size: tuple[int, int],
    floor: float = np.nan,
    argmax: np.ndarray = NO_ARGMAX,
    x_argmax: np.ndarray = NO_ARGMAX,
) -> None:
    """``y`` (N, H, W, M) = the convolution of ``x`` (N, H, W, C), plus ``bias`` (M,), at least ``floor`` (NaN: none).

    ``size`` is (H, W). A ``y`` of half that size is pooled, and ``argmax``, if it has the shape of y, takes the places. An
    ``x_argmax`` says that x is the gradient of something pooled, of half the size.
    """
    C, threads = x.shape[3], n_threads()
    tiles = len(x) * -(-size[0] // TILE) * -(-size[1] // TILE)
    width = U.shape[1] * COLUMNS
    own = U.nbytes <= _WEIGHTS and tiles >= threads * ROWS
    if own:
        block = max(_BLOCK // (4 * POINTS * max(C, width)) // ROWS, 1) * ROWS
    else:
        block = min(max(_CHUNK // (4 * POINTS * (C + width)) // ROWS, 1), -(-tiles // ROWS)) * ROWS
    V, products = _points(threads if own else 1, block, C), _points(threads if own else 1, block, width)
    where = x, x_argmax, U, bias, y, argmax, size, np.float32(floor), V, products, block
    if own:
        _convolve(*where, 0, tiles, _ALL, threads)
        return
    for first in range(0, tiles, block):
        for step in range(_ALL):
            _convolve(*where, first, min(first + block, tiles), step, threads)


def _points(threads: int, tiles: int, channels: int) -> np.ndarray:
    """Memory for transformed tiles; the 36 points are moved against each other, lest they fall on the same lines of the cache."""
    return empty((threads, POINTS, tiles * channels + WIDTH))


@kernel(parallel=True)
def _convolve(x, x_argmax, U, bias, y, argmax, size, floor, V, products, block, first, last, step, threads):
    """The tiles ``first`` to ``last``, in one of two ways.

    With ``step`` = ``_ALL`` each thread takes a block of tiles at a time through the three steps: the block stays in its
    cache. Else all threads together do one step of one block: weights that no cache holds are read but once.
    """
    jobs, width, counter = POINTS * U.shape[1], U.shape[1] * COLUMNS, new_counter()
    tiles = last - first
    parts = pieces(tiles, threads)
    items = -(-tiles // block) if step == _ALL else jobs if step == 1 else parts
    for thread in prange(threads):
        points, sums = V[thread % V.shape[0]], products[thread % V.shape[0]]
        item = next_item(counter)
        while item < items:
            if step == _ALL:
                t0, t1 = item * block, min((item + 1) * block, tiles)
                base, job0, job1 = t0, 0, jobs
            else:
                t0, t1 = (0, tiles) if step == 1 else share(tiles, item, parts)
                base, job0, job1 = 0, item, item + 1
            if step == _ALL or step == 0:
                _transform_input(x, x_argmax, size, points, first + base, first + t0, first + t1)
            if step == _ALL or step == 1:
                _multiply(points, U, sums, t1 - t0, job0, job1)
            if step == _ALL or step == 2:
                _transform_output(sums, bias, y, argmax, size, floor, width, first + base, first + t0, first + t1)
            item = next_item(counter)


@kernel()
def _transform_input(x, x_argmax, size, V, base, first, last):
    """Bᵀ d B of the tiles ``first`` to ``last``, to the rows of ``V`` from tile ``base`` on."""
    H, W, C = size[0], size[1], x.shape[3]
    tiles_h, tiles_w = -(-H // TILE), -(-W // TILE)
    zeros = np.zeros(C, np.float32)
    side = TILE if x_argmax.size else INPUT_TILE
    table, argmaxes = np.empty((side, side), np.int64), np.empty((side, side), np.int64)
    stride = V.shape[1]
    for tile in range(first, last):
        n, h, w = _tile_place(tile, tiles_h, tiles_w)
        to = address(V) + 4 * C * (tile - base)
        if x_argmax.size:
            shape = H // 2, W // 2
            h, w = 2 * h - 1, 2 * w - 1
            _addresses(address(x), address(zeros), shape, 4 * C, n, h, w, table)
            _addresses(address(x_argmax), address(zeros), shape, C, n, h, w, argmaxes)
            for c in range(0, C, WIDTH):
                c = min(c, C - WIDTH)
                _input_unpooled(address(table), address(argmaxes), c, to + 4 * c, stride)
        else:
            h, w = TILE * h - 1, TILE * w - 1
            _addresses(address(x), address(zeros), (H, W), 4 * C, n, h, w, table)
            for c in range(0, C, WIDTH):
                c = min(c, C - WIDTH)
                _input(address(table), c, to + 4 * c, stride)


@kernel()
def _multiply(V, U, products, tiles, first, last):
    """The jobs ``first`` to ``last``, each a point and a panel of U: tiles by C times C by COLUMNS."""
    _, n_panels, C, _ = U.shape
    width = n_panels * COLUMNS
    table = np.empty(tiles + ROWS, np.int64)
    for job in range(first, last):
        point, q = divmod(job, n_panels)
        for t in range(table.size):
            table[t] = address(V) + 4 * (point * V.shape[1] + t * C)
        panel = address(U) + 4 * job * C * COLUMNS
        t = 0
        while t < tiles:
            to = address(products) + 4 * (point * products.shape[1] + t * width + q * COLUMNS)
            if tiles - t <= FEW_ROWS or ROWS < tiles - t <= 2 * FEW_ROWS:
                few_rows_kernel(address(table) + 8 * t, 1, C, panel, to, width)
                t += FEW_ROWS
            else:
                rows_kernel(address(table) + 8 * t, 1, C, panel, to, width)
                t += ROWS


@kernel()
def _transform_output(products, bias, y, argmax, size, floor, width, base, first, last):
    H, W, M = size[0], size[1], y.shape[3]
    tiles_h, tiles_w = -(-H // TILE), -(-W // TILE)
    outside, outside_argmax = np.empty(M, np.float32), np.empty(M, np.uint8)
    pooled = y.shape[1] != H or y.shape[2] != W
    side = TILE // 2 if pooled else TILE
    table, argmaxes = np.empty((side, side), np.int64), np.empty((side, side), np.int64)
    for i in range(side):
        for j in range(side):
            argmaxes[i, j] = address(outside_argmax)
    stride = products.shape[1]
    for tile in range(first, last):
        n, h, w = _tile_place(tile, tiles_h, tiles_w)
        at = address(products) + 4 * width * (tile - base)
        if pooled:
            shape = y.shape[1:3]
            _addresses(address(y), address(outside), shape, 4 * M, n, 2 * h, 2 * w, table)
            if argmax.size:
                _addresses(address(argmax), address(outside_argmax), shape, M, n, 2 * h, 2 * w, argmaxes)
            for m in range(0, M, WIDTH):
                m = min(m, M - WIDTH)
                _output_pooled(at + 4 * m, stride, address(table), address(argmaxes), m, address(bias), floor)
        else:
            _addresses(address(y), address(outside), (H, W), 4 * M, n, TILE * h, TILE * w, table)
            for m in range(0, M, WIDTH):
                m = min(m, M - WIDTH)
                _output(at + 4 * m, stride, address(table), m, address(bias), floor)


# --- the gradient of the window ----------------------------------------------------------------------------------


def weight_gradient(x: np.ndarray, dy: np.ndarray, size: tuple[int, int], argmax: np.ndarray = NO_ARGMAX) -> np.ndarray:
    """``dW`` (3, 3, C, M) from ``x`` (N, H, W, C) and ``dy`` (N, H, W, M), or pooled, of half the size, with its argmaxes."""
    C, M = x.shape[3], dy.shape[3]
    C_up, width = -(-C // CHANNELS) * CHANNELS, -(-M // COLUMNS) * COLUMNS
    tiles = len(x) * -(-size[0] // TILE) * -(-size[1] // TILE)
    block = max(min(_SUMMED_CHUNK // (4 * POINTS * (C_up + width)), tiles), 1)
    V, D = _points(1, block, C_up)[0], _points(1, block, width)[0]
    dU = zeros((POINTS, C_up, width))
    for first in range(0, tiles, block):
        last = min(first + block, tiles)
        _transform_pairs(x, dy, argmax, size, V, D, C_up, width, first, last, n_threads())
        _sum_tiles(V, D, dU, last - first, n_threads())
    dW = empty((3, 3, C, M))
    _transform_gradient(dU, dW)
    return dW


@kernel(parallel=True)
def _transform_pairs(x, dy, argmax, size, V, D, C_up, width, first, last, threads):
    """Bᵀ d B and A dy Aᵀ of the tiles ``first`` to ``last``."""
    H, W, C, M = size[0], size[1], x.shape[3], dy.shape[3]
    tiles_h, tiles_w = -(-H // TILE), -(-W // TILE)
    counter = new_counter()
    parts = pieces(last - first, threads)
    for _ in prange(threads):
        zeros = np.zeros(max(C, M), np.float32)
        side = TILE // 2 if argmax.size else TILE
        seen, table, argmaxes = (
            np.empty((INPUT_TILE, INPUT_TILE), np.int64),
            np.empty((side, side), np.int64),
            np.empty((side, side), np.int64),
        )
        part = next_item(counter)
        while part < parts:
            t0, t1 = share(last - first, part, parts)
            for t in range(t0, t1):
                n, h, w = _tile_place(first + t, tiles_h, tiles_w)
                _addresses(address(x), address(zeros), (H, W), 4 * C, n, TILE * h - 1, TILE * w - 1, seen)
                for c in range(0, C, WIDTH):
                    c = min(c, C - WIDTH)
                    _input(address(seen), c, address(V) + 4 * (C_up * t + c), V.shape[1])
                to = address(D) + 4 * width * t
                if argmax.size:
                    shape = dy.shape[1:3]
                    _addresses(address(dy), address(zeros), shape, 4 * M, n, 2 * h, 2 * w, table)
                    _addresses(address(argmax), address(zeros), shape, M, n, 2 * h, 2 * w, argmaxes)
                    for m in range(0, M, WIDTH):
                        m = min(m, M - WIDTH)
                        _gradient_unpooled(address(table), address(argmaxes), m, to + 4 * m, D.shape[1])
                else:
                    _addresses(address(dy), address(zeros), (H, W), 4 * M, n, TILE * h, TILE * w, table)
                    for m in range(0, M, WIDTH):
                        m = min(m, M - WIDTH)
                        _gradient(address(table), m, to + 4 * m, D.shape[1])
            part = next_item(counter)


@kernel(parallel=True)
def _sum_tiles(V, D, dU, tiles, threads):
    """``dU[k] += Σ over tiles of V[k]ᵀ D[k]``; every number is summed by one thread, in the order of the tiles."""
    _, C_up, width = dU.shape
    n_panels = width // COLUMNS
    counter = new_counter()
    for _ in prange(threads):
        job = next_item(counter)
        while job < POINTS * n_panels:
            point, q = divmod(job, n_panels)
            for t in range(0, tiles, _SUMMED):
                n = min(_SUMMED, tiles - t)
                d = address(D) + 4 * (point * D.shape[1] + t * width + q * COLUMNS)
                for c in range(0, C_up, CHANNELS):
                    v = address(V) + 4 * (point * V.shape[1] + t * C_up + c)
                    to = address(dU) + 4 * ((point * C_up + c) * width + q * COLUMNS)
                    outer_products(v, C_up, d, width, n, to, width)
            job = next_item(counter)


@kernel(parallel=True)
def _transform_gradient(dU, dW):
    _, C_up, width = dU.shape
    C, M = dW.shape[2:]
    for c in prange(C):
        table = np.empty(9, np.int64)
        for tap in range(9):
            table[tap] = address(dW) + 4 * M * (tap * C + c)
        for m in range(0, M, WIDTH):
            m = min(m, M - WIDTH)
            _window_gradient(address(dU) + 4 * (width * c + m), C_up * width, address(table), m)
