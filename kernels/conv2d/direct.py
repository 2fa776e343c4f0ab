"""Convolution as one matrix product whose rows are found by address, in bands that stay in the cache.

Row p of the product is an output pixel; its inner sum runs over the taps of the window, and each tap contributes the
channels of one input pixel, adjacent in memory. The micro-kernel takes a table of the addresses of those pixels (that of a
row of zeros where the window hangs over the edge): any stride and padding serve, and no im2col is made. Only a first layer of
few channels is gathered into rows: sums over three adjacent numbers at a time would waste the vector units.

A *band* is a few rows of y, in all columns; when y is pooled, pairs of rows. It is summed into a buffer, and from there gets
its bias, ReLU and pooling on the way to memory. The gradient of W goes through the bands again: dy is brought into the buffer
(un-pooled, if need be), the windows of x are gathered beside it, and outer products are summed over the pixels.
"""

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.parameters import value
from scratchlv.kernels.building_blocks.simd import I64, address
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item, share
from scratchlv.kernels.conv2d.micro_kernels import CHANNELS, outer_products
from scratchlv.kernels.matmul.micro_kernels import COLUMNS, ROWS, rows_kernel
from scratchlv.kernels.matmul.numba_cpu import pack
from scratchlv.kernels.max_pool2d.vectors import CLOSED, PixelEmitter, place, unpool_pixel
from scratchlv.memory import empty, zeros

_FEW_CHANNELS = 8  # with fewer, the windows are gathered
_BAND = value("conv2d.band")  # bytes
_WEIGHTS = value("conv2d.shared_weights")  # more bytes of weights are divided among the threads, fewer are read by each
_ROWS_OF_W = 256  # at most so many rows of dW are summed at once
_PIXELS = 256  # … over so many pixels, from zero, before they are added to the rest
_JOBS = 16  # into so many parts, at least, is the gradient of W divided, whatever the number of threads


def convolve(
    x: np.ndarray,
    panels: np.ndarray,
    window: tuple[int, int],
    bias: np.ndarray,
    y: np.ndarray,
    size: tuple[int, int],
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    floor: float,
    argmax: np.ndarray,
) -> None:
    """``y`` (N, H', W', M) = ``x`` (N, H, W, C) times ``panels`` (:func:`pack_windows`), plus ``bias``, at least ``floor``.

    ``window`` is (kh, kw), ``size`` (H', W') before pooling: a ``y`` of half that size is pooled, and ``argmax``, if it has
    the shape of y, takes the places. ``padding`` is (top, left); ``dilation`` - 1 zeros lie between the pixels of x.
    """
    pooled = y.shape[1:3] != size
    C, threads = x.shape[3], n_threads()
    gathered = C < _FEW_CHANNELS and dilation == 1
    row = (4 if pooled else 1) * y.shape[2]  # pixels of a row of y, or of the windows of one
    wide = max(panels.shape[0] * COLUMNS, window[0] * window[1] * C if gathered else 0)
    n_rows = y.shape[0] * y.shape[1]
    by_columns = panels.nbytes > _WEIGHTS and panels.shape[0] >= threads
    most = n_rows if by_columns else -(-n_rows // threads)
    band = max(min(_BAND // (4 * row * wide), most), 1)
    pixels = -(-band * row // ROWS) * ROWS
    buffer = empty((threads, pixels, panels.shape[0] * COLUMNS))
    columns = empty((threads, pixels, window[0] * window[1] * C if gathered else 0))
    geometry = (*window, stride, dilation, *padding)
    _convolve(x, panels, bias, y, argmax, pooled, np.float32(floor), geometry, buffer, columns, band, by_columns)


def pack_windows(W: np.ndarray, flipped: bool = False) -> np.ndarray:
    """``W`` (kh, kw, C, M) in panels for :func:`convolve`; flipped, with inputs and outputs exchanged, if ``flipped``."""
    if flipped:
        flat = empty((W.shape[0] * W.shape[1], W.shape[3], W.shape[2]))
        _flip(W.reshape(-1, *W.shape[2:]), flat)
        W = flat
    return pack(W.reshape(-1, W.shape[-1]), width=COLUMNS)


@kernel(parallel=True)
def _flip(W, flipped):
    taps, C, M = W.shape
    for m in prange(M):
        for tap in range(taps):
            for c in range(C):
                flipped[tap, m, c] = W[taps - 1 - tap, c, m]


@intrinsic
def _copy(typing_context, source, to, count):
    """Copy floats between addresses."""

    def emit(context, builder, signature, arguments):
        source, to, count = arguments
        e = PixelEmitter(builder)
        e.channels(count, lambda c: e.store_lanes(e.load_lanes(e.address(source, c)), e.address(to, c)))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), emit


@intrinsic
def _finish(typing_context, z, bias, y, channels, floor):
    """y = max(z + bias, floor) of a pixel."""

    def emit(context, builder, signature, arguments):
        z, bias, y, channels, floor = arguments
        e = PixelEmitter(builder)
        floor = e.splat(floor)

        def body(c):
            value = builder.fadd(e.load_lanes(e.address(z, c)), e.load_lanes(e.address(bias, c)))
            e.store_lanes(e.rectify(value, floor)[0], e.address(y, c))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32), emit


@intrinsic
def _finish_pooled(typing_context, top, bottom, next_pixel, bias, y, argmax, keep, channels, floor):
    """The same, pooled: of two pixels at ``top`` and two at ``bottom``, ``next_pixel`` floats apart."""

    def emit(context, builder, signature, arguments):
        top, bottom, next_pixel, bias, y, argmax, keep, channels, floor = arguments
        e = PixelEmitter(builder)
        floor = e.splat(floor)
        pixels = [top, e.address(top, next_pixel), bottom, e.address(bottom, next_pixel)]

        def body(c):
            best, place_of_best = e.largest([e.load_lanes(e.address(pixel, c)) for pixel in pixels])
            value, closed = e.rectify(builder.fadd(best, e.load_lanes(e.address(bias, c))), floor)
            e.store_lanes(value, e.address(y, c))
            with builder.if_then(builder.icmp_signed("!=", keep, I64(0))):
                e.store_lanes(builder.select(closed, place(CLOSED), place_of_best), builder.add(argmax, c))

        e.channels(channels, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8, types.float32), emit


@kernel()
def _fill_table(x, zeros, geometry, n, h, w, table, r):
    """Where the pixels lie that the taps of output pixel (n, h, w) meet: column ``r`` of ``table`` (taps, ROWS)."""
    kh, kw, stride, dilation, top, left = geometry
    _, H, W, C = x.shape
    row, column = h * stride - top, w * stride - left
    if dilation == 1 and 0 <= row <= H - kh and 0 <= column <= W - kw:
        for i in range(kh):
            at = address(x) + 4 * C * ((n * H + row + i) * W + column)
            for j in range(kw):
                table[i * kw + j, r] = at + 4 * C * j
        return
    for i in range(kh):
        for j in range(kw):
            row, column = h * stride + i - top, w * stride + j - left
            inside = row >= 0 and column >= 0 and row % dilation == 0 and column % dilation == 0
            inside = inside and row // dilation < H and column // dilation < W
            at = address(x) + 4 * C * ((n * H + row // dilation) * W + column // dilation)
            table[i * kw + j, r] = at if inside else zeros


@kernel()
def _gather(x, zeros, geometry, n, h, w, k0, k1, to):
    """The numbers ``k0`` to ``k1`` of the window of output pixel (n, h, w), to an address: runs of pixels, or of zeros."""
    kh, kw, stride, _, top, left = geometry
    _, H, W, C = x.shape
    row, column = h * stride - top, w * stride - left
    if k0 == 0 and k1 == kh * kw * C and 0 <= row <= H - kh and 0 <= column <= W - kw:
        for i in range(kh):
            _copy(address(x) + 4 * C * ((n * H + row + i) * W + column), to + 4 * i * kw * C, kw * C)
        return
    for i in range(kh):
        row, column = h * stride + i - top, w * stride - left
        first, last = max(k0 - i * kw * C, 0), min(k1 - i * kw * C, kw * C)  # of this row of the window
        if first >= last:
            continue
        inside0 = max(min(max(-column, 0) * C, last), first) if 0 <= row < H else last
        inside1 = max(min((W - column) * C, last), inside0)
        at = to + 4 * (i * kw * C - k0)
        if inside0 > first:
            _copy(zeros, at + 4 * first, inside0 - first)
        if inside1 > inside0:
            _copy(address(x) + 4 * (((n * H + row) * W + column) * C + inside0), at + 4 * inside0, inside1 - inside0)
        if last > inside1:
            _copy(zeros, at + 4 * inside1, last - inside1)


@kernel(parallel=True)
def _convolve(x, panels, bias, y, argmax, pooled, floor, geometry, buffer, columns, band, by_columns):
    threads, _, width = buffer.shape
    kh, kw = geometry[:2]
    taps, C, gathered = kh * kw, x.shape[3], columns.shape[2]
    N, rows_of_y, columns_of_y, M = y.shape
    height = 2 if pooled else 1  # rows of pixels, and pixels, to a row of y and one of its pixels
    row_pixels = height * height * columns_of_y
    rows, counter = N * rows_of_y, new_counter()
    for thread in prange(threads):
        q0, q1 = share(panels.shape[0], thread, threads) if by_columns else (0, panels.shape[0])
        zeros = np.zeros(max(C, gathered), np.float32)
        table = np.empty((buffer.shape[1] // ROWS, 1 if gathered else taps, ROWS), np.int64)
        z = buffer[thread]
        row = 0 if by_columns else band * next_item(counter)
        while row < rows:
            n_pixels = min(band, rows - row) * row_pixels
            tiles = -(-n_pixels // ROWS)
            p = 0
            for r in range(row, min(row + band, rows)):
                n, h = divmod(r, rows_of_y)
                for i in range(height):
                    for w in range(height * columns_of_y):
                        if gathered:
                            to = address(columns) + 4 * gathered * (thread * columns.shape[1] + p)
                            _gather(x, address(zeros), geometry, n, height * h + i, w, np.int64(0), gathered, to)
                            table[p // ROWS, 0, p % ROWS] = to
                        else:
                            _fill_table(x, address(zeros), geometry, n, height * h + i, w, table[p // ROWS], p % ROWS)
                        p += 1
            while p < tiles * ROWS:  # a ragged tile repeats its last pixel
                for tap in range(table.shape[1]):
                    table[p // ROWS, tap, p % ROWS] = table[(n_pixels - 1) // ROWS, tap, (n_pixels - 1) % ROWS]
                p += 1
            for q in range(q0, q1):
                panel = address(panels) + 4 * q * panels.shape[1] * COLUMNS
                for tile in range(tiles):
                    pixels = address(table) + 8 * tile * table.shape[1] * ROWS
                    to = address(z) + 4 * (tile * ROWS * width + q * COLUMNS)
                    rows_kernel(pixels, table.shape[1], gathered if gathered else C, panel, to, width)
            m0, m1 = q0 * COLUMNS, min(q1 * COLUMNS, M)
            _finish_band(z, bias, y, argmax, pooled, floor, row, min(band, rows - row), m0, m1)
            row = row + band if by_columns else band * next_item(counter)


@kernel()
def _finish_band(z, bias, y, argmax, pooled, floor, row, rows, m0, m1):
    """Bias, ReLU and pooling of ``rows`` rows of y, for the channels ``m0`` to ``m1``."""
    columns_of_y, M = y.shape[2:]
    width = z.shape[1]
    for pixel in range(rows * columns_of_y):
        out = M * (row * columns_of_y + pixel) + m0
        if pooled:
            r, w = divmod(pixel, columns_of_y)
            top = address(z) + 4 * (width * (4 * columns_of_y * r + 2 * w) + m0)
            bottom = top + 4 * width * 2 * columns_of_y
            to, at = address(y) + 4 * out, address(argmax) + out
            _finish_pooled(top, bottom, width, address(bias) + 4 * m0, to, at, argmax.size, m1 - m0, floor)
        else:
            at = address(z) + 4 * (width * pixel + m0)
            _finish(at, address(bias) + 4 * m0, address(y) + 4 * out, m1 - m0, floor)


# --- the gradient of the weights ---------------------------------------------------------------------------------


def weight_gradient(
    x: np.ndarray, dy: np.ndarray, window: tuple[int, int], stride: int, padding: tuple[int, int], argmax: np.ndarray
) -> np.ndarray:
    """``dW`` (kh, kw, C, M) from ``x`` (N, H, W, C) and ``dy``, which is pooled if it comes with its argmaxes."""
    C, M = x.shape[3], dy.shape[3]
    K = window[0] * window[1] * C
    chunks = -(-K // _ROWS_OF_W)
    chunk = -(-K // (max(chunks, 1) * CHANNELS)) * CHANNELS
    parts = -(-_JOBS // max(chunks, 1))
    sums = zeros((parts, chunks * chunk, -(-M // COLUMNS) * COLUMNS))
    geometry = (*window, stride, 1, *padding)
    row = (4 if argmax.size else 1) * dy.shape[2]
    band = max(_PIXELS // row, 1)
    threads = n_threads()
    buffer, columns = empty((threads, band * row, sums.shape[2])), empty((threads, band * row, chunk))
    buffer.fill(0)
    columns.fill(0)
    _sum_bands(x, dy, argmax, argmax.size > 0, geometry, sums, chunk, buffer, columns, band)
    dW = empty((*window, C, M))
    _add_parts(sums, dW.reshape(K, M))
    return dW


@kernel(parallel=True)
def _sum_bands(x, dy, argmax, pooled, geometry, sums, chunk, buffer, columns, band):
    """Job (part, chunk): over the part's rows of dy, the chunk of dW's rows (taps and channels)."""
    threads, most, width = buffer.shape
    parts, K_up, _ = sums.shape
    K = geometry[0] * geometry[1] * x.shape[3]
    N, rows_of_y, columns_of_y, M = dy.shape
    height = 2 if pooled else 1
    row_pixels = height * height * columns_of_y
    chunks = K_up // chunk
    counter = new_counter()
    for thread in prange(threads):
        zeros = np.zeros(max(chunk, 1), np.float32)
        dz, windows = buffer[thread], columns[thread]
        job = next_item(counter)
        while job < parts * chunks:
            part, k0 = job // chunks, (job % chunks) * chunk
            first, last = share(N * rows_of_y, part, parts)
            for row in range(first, last, band):
                rows = min(band, last - row)
                _fill_band(dy, argmax, pooled, row, rows, dz)
                to = address(windows)
                for r in range(row, row + rows):
                    n, h = divmod(r, rows_of_y)
                    for i in range(height):
                        for w in range(height * columns_of_y):
                            _gather(x, address(zeros), geometry, n, height * h + i, w, k0, min(k0 + chunk, K), to)
                            to += 4 * chunk
                for q in range(0, width, COLUMNS):
                    for k in range(0, chunk, CHANNELS):
                        to = address(sums) + 4 * ((part * K_up + k0 + k) * width + q)
                        for p in range(0, rows * row_pixels, _PIXELS):
                            terms = min(_PIXELS, rows * row_pixels - p)
                            a = address(windows) + 4 * (chunk * p + k)
                            b = address(dz) + 4 * (width * p + q)
                            outer_products(a, chunk, b, width, terms, to, width)
            job = next_item(counter)


@kernel()
def _fill_band(dy, argmax, pooled, row, rows, dz):
    """The gradient before pooling of some rows of y, pixel by pixel."""
    columns_of_y, M = dy.shape[2:]
    size = 4 * dz.shape[1]
    for pixel in range(rows * columns_of_y):
        at = row * columns_of_y + pixel
        if pooled:
            r, w = divmod(pixel, columns_of_y)
            top = address(dz) + size * (4 * columns_of_y * r + 2 * w)
            bottom = top + size * 2 * columns_of_y
            unpool_pixel(address(dy) + 4 * M * at, address(argmax) + M * at, top, bottom, dz.shape[1], M, False)
        else:
            _copy(address(dy) + 4 * M * at, address(dz) + size * pixel, M)


@kernel(parallel=True)
def _add_parts(sums, dW):
    for k in prange(dW.shape[0]):
        for m in range(dW.shape[1]):
            dW[k, m] = sums[0, k, m]
        for part in range(1, sums.shape[0]):
            for m in range(dW.shape[1]):
                dW[k, m] += sums[part, k, m]
