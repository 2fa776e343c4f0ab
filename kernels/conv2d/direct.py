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
from scratchlv.kernels.building_blocks.windows import Windows
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
EVERY_PLACE = (0, 0, 1, 1)

Geometry = tuple[int, ...]  # of windows: kh, kw, and (rows, columns) of stride, dilation, corner


def geometry_of(w: Windows) -> Geometry:
    return *w.size, *w.stride, *w.dilation, *w.corner


def convolve(
    x: np.ndarray,
    panels: np.ndarray,
    geometry: Geometry,
    bias: np.ndarray,
    y: np.ndarray,
    size: tuple[int, int],
    floor: float,
    argmax: np.ndarray,
    *,
    groups: int = 1,
    places: tuple[int, int, int, int] = EVERY_PLACE,
    gather: bool = True,
) -> None:
    """``y`` (N, H', W', M) = ``x`` (N, H, W, C) times ``panels`` (:func:`pack_windows`), plus ``bias``, at least ``floor``.

    ``size`` is (H', W') before pooling: a ``y`` of half that size is pooled, and ``argmax``, if it has the shape of y, takes
    the places. With ``places`` (first row, first column, rows apart, columns apart), ``size`` is how many of them
    there are in y, which alone are written. ``gather`` allows windows of few channels to be copied into rows.
    """
    pooled = places == EVERY_PLACE and y.shape[1:3] != size
    grid = y.shape[1:3] if pooled else size
    threads, per_group, inputs = n_threads(), panels.shape[0] // groups, x.shape[3] // groups
    gathered = geometry[0] * geometry[1] * inputs if gather and groups == 1 and inputs < _FEW_CHANNELS else 0
    row = (4 if pooled else 1) * grid[1]  # pixels of a row of y, or of the windows of one
    n_rows = len(y) * grid[0]
    by_columns = panels.nbytes > _WEIGHTS and panels.shape[0] >= threads
    most = n_rows if by_columns else -(-n_rows // threads)
    band = max(min(_BAND // (4 * row * max(per_group * COLUMNS, gathered)), most), 1)
    pixels = -(-band * row // ROWS) * ROWS
    buffer, columns = empty((threads, pixels, per_group * COLUMNS)), empty((threads, pixels, gathered))
    how = geometry, groups, grid, places, buffer, columns, band, by_columns
    _convolve(x, panels, bias, y, argmax, pooled, np.float32(floor), *how)


def pack_windows(W: np.ndarray, groups: int = 1) -> np.ndarray:
    """``W`` (kh, kw, C / groups, M) in panels for :func:`convolve`."""
    flat = W.reshape(-1, W.shape[-1])
    if groups == 1:
        return pack(flat, width=COLUMNS)
    taps, outputs = W.shape[0] * W.shape[1], W.shape[3] // groups
    panels = empty((groups * -(-outputs // COLUMNS), len(flat), COLUMNS))
    _pack_groups(W.reshape(taps, *W.shape[2:]), np.arange(taps), groups, False, panels)
    return panels


def pack_flipped(W: np.ndarray, taps: list[int], groups: int) -> np.ndarray:
    """The panels for dx: those ``taps`` (numbers i kw + j) of W, from the last to the first, inputs and outputs exchanged."""
    inputs, outputs = W.shape[2], W.shape[3] // groups
    panels = empty((groups * -(-inputs // COLUMNS), len(taps) * outputs, COLUMNS))
    _pack_groups(W.reshape(-1, *W.shape[2:]), np.array(taps[::-1], np.int64), groups, True, panels)
    return panels


@kernel(parallel=True)
def _pack_groups(W, taps, groups, exchanged, panels):
    _, inputs, M = W.shape
    outputs, per_group = M // groups, panels.shape[0] // groups
    rows, columns = (outputs, inputs) if exchanged else (inputs, outputs)
    for q in prange(panels.shape[0]):
        m0, first = q // per_group * outputs, q % per_group * COLUMNS
        count = min(COLUMNS, columns - first)
        for t in range(taps.size):
            tap = taps[t]
            for r in range(rows):
                to = panels[q, t * rows + r]
                if exchanged:
                    for k in range(count):
                        to[k] = W[tap, first + k, m0 + r]
                else:
                    for k in range(count):
                        to[k] = W[tap, r, m0 + first + k]
                for k in range(count, COLUMNS):
                    to[k] = 0


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
    kh, kw, down, across, step_h, step_w, top, left = geometry
    _, H, W, C = x.shape
    row, column = h * down - top, w * across - left
    if row >= 0 and row + (kh - 1) * step_h < H and column >= 0 and column + (kw - 1) * step_w < W:
        for i in range(kh):
            at = address(x) + 4 * C * ((n * H + row + i * step_h) * W + column)
            for j in range(kw):
                table[i * kw + j, r] = at + 4 * C * j * step_w
        return
    for i in range(kh):
        for j in range(kw):
            u, v = row + i * step_h, column + j * step_w
            at = address(x) + 4 * C * ((n * H + u) * W + v)
            table[i * kw + j, r] = at if 0 <= u < H and 0 <= v < W else zeros


@kernel()
def _gather(x, zeros, geometry, n, h, w, k0, k1, to):
    """The numbers ``k0`` to ``k1`` of the window of output pixel (n, h, w), to an address: runs of pixels, or of zeros."""
    kh, kw, down, across, step_h, _, top, left = geometry
    _, H, W, C = x.shape
    row, column = h * down - top, w * across - left
    if k0 == 0 and k1 == kh * kw * C and row >= 0 and row + (kh - 1) * step_h < H and 0 <= column <= W - kw:
        for i in range(kh):
            _copy(address(x) + 4 * C * ((n * H + row + i * step_h) * W + column), to + 4 * i * kw * C, kw * C)
        return
    for i in range(kh):
        u = row + i * step_h
        first, last = max(k0 - i * kw * C, 0), min(k1 - i * kw * C, kw * C)  # of this row of the window
        if first >= last:
            continue
        inside0 = max(min(max(-column, 0) * C, last), first) if 0 <= u < H else last
        inside1 = max(min((W - column) * C, last), inside0)
        at = to + 4 * (i * kw * C - k0)
        if inside0 > first:
            _copy(zeros, at + 4 * first, inside0 - first)
        if inside1 > inside0:
            _copy(address(x) + 4 * (((n * H + u) * W + column) * C + inside0), at + 4 * inside0, inside1 - inside0)
        if last > inside1:
            _copy(zeros, at + 4 * inside1, last - inside1)


@kernel()
def _gather_taps(x, zeros, geometry, n, h, w, group, inputs, k0, k1, to):
    """The same for a group, or with a dilation, tap by tap: what two of them meet does not lie side by side."""
    kh, kw, down, across, step_h, step_w, top, left = geometry
    _, H, W, C = x.shape
    for i in range(kh):
        for j in range(kw):
            k = (i * kw + j) * inputs
            first, last = max(k0 - k, 0), min(k1 - k, inputs)
            if first < last:
                u, v = h * down - top + i * step_h, w * across - left + j * step_w
                pixel = address(x) + 4 * (C * ((n * H + u) * W + v) + group * inputs)
                at = pixel + 4 * first if 0 <= u < H and 0 <= v < W else zeros
                _copy(at, to + 4 * (k + first - k0), last - first)


@kernel(parallel=True)
def _convolve(
    x, panels, bias, y, argmax, pooled, floor, geometry, groups, grid, places, buffer, columns, band, by_columns
):
    threads, _, width = buffer.shape
    taps, inputs, gathered = geometry[0] * geometry[1], x.shape[3] // groups, columns.shape[2]
    per_group, M = panels.shape[0] // groups, y.shape[3] // groups
    rows_of_y, columns_of_y = grid
    height = 2 if pooled else 1  # rows of pixels, and pixels, to a row of y and one of its pixels
    row_pixels = height * height * columns_of_y
    rows, counter = y.shape[0] * rows_of_y, new_counter()
    for thread in prange(threads):
        q0, q1 = share(panels.shape[0], thread, threads) if by_columns else (0, panels.shape[0])
        zeros = np.zeros(max(x.shape[3], gathered), np.float32)
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
                        at = address(zeros)
                        if gathered:
                            k0, to = np.int64(0), address(columns) + 4 * gathered * (thread * columns.shape[1] + p)
                            if geometry[5] == 1:
                                _gather(x, at, geometry, n, height * h + i, w, k0, gathered, to)
                            else:
                                _gather_taps(x, at, geometry, n, height * h + i, w, k0, inputs, k0, gathered, to)
                            table[p // ROWS, 0, p % ROWS] = to
                        else:
                            _fill_table(x, at, geometry, n, height * h + i, w, table[p // ROWS], p % ROWS)
                        p += 1
            while p < tiles * ROWS:  # a ragged tile repeats its last pixel
                for tap in range(table.shape[1]):
                    table[p // ROWS, tap, p % ROWS] = table[(n_pixels - 1) // ROWS, tap, (n_pixels - 1) % ROWS]
                p += 1
            for group in range(q0 // per_group, -(-q1 // per_group)):
                _shift(table, group if group == q0 // per_group else 1, inputs, tiles)
                first, last = max(q0 - group * per_group, 0), min(q1 - group * per_group, per_group)
                for q in range(first, last):
                    panel = address(panels) + 4 * (group * per_group + q) * panels.shape[1] * COLUMNS
                    for tile in range(tiles):
                        pixels = address(table) + 8 * tile * table.shape[1] * ROWS
                        to = address(z) + 4 * (tile * ROWS * width + q * COLUMNS)
                        rows_kernel(pixels, table.shape[1], gathered if gathered else inputs, panel, to, width)
                m0, m1 = first * COLUMNS, min(last * COLUMNS, M)
                _finish_band(
                    z, bias, y, argmax, pooled, floor, grid, places, row, min(band, rows - row), group * M, m0, m1
                )
            row = row + band if by_columns else band * next_item(counter)


@kernel()
def _shift(table, by, inputs, tiles):
    """The pixels' addresses, so many groups of channels further."""
    if by:
        for tile in range(tiles):
            for tap in range(table.shape[1]):
                for r in range(ROWS):
                    table[tile, tap, r] += 4 * by * inputs


@kernel()
def _finish_band(z, bias, y, argmax, pooled, floor, grid, places, row, rows, m, m0, m1):
    """Bias, ReLU and pooling of ``rows`` rows of y: channels ``m0`` to ``m1`` of the group that begins with channel ``m``."""
    rows_of_y, columns_of_y = grid
    u, v, down, across = places
    _, H, W, M = y.shape
    width, biases = z.shape[1], address(bias) + 4 * (m + m0)
    for r in range(rows):
        n, h = divmod(row + r, rows_of_y)
        for w in range(columns_of_y):
            out = M * ((n * H + u + h * down) * W + v + w * across) + m + m0
            if pooled:
                top = address(z) + 4 * (width * (4 * columns_of_y * r + 2 * w) + m0)
                bottom = top + 4 * width * 2 * columns_of_y
                to, at = address(y) + 4 * out, address(argmax) + out
                _finish_pooled(top, bottom, width, biases, to, at, argmax.size, m1 - m0, floor)
            else:
                at = address(z) + 4 * (width * (r * columns_of_y + w) + m0)
                _finish(at, biases, address(y) + 4 * out, m1 - m0, floor)


# --- the gradient of the weights ---------------------------------------------------------------------------------


def weight_gradient(
    x: np.ndarray, dy: np.ndarray, geometry: Geometry, argmax: np.ndarray, groups: int = 1
) -> np.ndarray:
    """``dW`` (kh, kw, C / groups, M) from ``x`` (N, H, W, C) and ``dy``, which is pooled if it comes with its argmaxes.

    Groups that fit into the columns of a tile together are summed as one, and what would go from one of them to another is
    thrown away: a tile has those columns anyway.
    """
    outputs, M = dy.shape[3] // groups, dy.shape[3]
    together = max(n for n in range(1, groups + 1) if groups % n == 0 and n * outputs <= max(outputs, COLUMNS))
    inputs, M_together = together * (x.shape[3] // groups), together * outputs
    K = geometry[0] * geometry[1] * inputs
    chunks = -(-K // _ROWS_OF_W)
    chunk = -(-K // (max(chunks, 1) * CHANNELS)) * CHANNELS
    parts = -(-_JOBS // max(groups // together * chunks, 1))
    sums = zeros((parts, groups // together, chunks * chunk, -(-M_together // COLUMNS) * COLUMNS))
    row = (4 if argmax.size else 1) * dy.shape[2]
    band = max(_PIXELS // row, 1)
    threads = n_threads()
    buffer, columns = empty((threads, band * row, sums.shape[3])), empty((threads, band * row, chunk))
    buffer.fill(0)
    columns.fill(0)
    _sum_bands(x, dy, argmax, argmax.size > 0, geometry, sums, chunk, buffer, columns, band)
    dW = empty((geometry[0], geometry[1], x.shape[3] // groups, M))
    _add_parts(sums, groups, dW.reshape(geometry[0] * geometry[1], -1, M))
    return dW


@kernel(parallel=True)
def _sum_bands(x, dy, argmax, pooled, geometry, sums, chunk, buffer, columns, band):
    """Job (part, group, chunk): over the part's rows of dy, the chunk of the rows (taps and channels) of a group's dW."""
    threads, _, width = buffer.shape
    parts, groups, K_up, _ = sums.shape
    inputs, outputs = x.shape[3] // groups, dy.shape[3] // groups
    K = geometry[0] * geometry[1] * inputs
    N, rows_of_y, columns_of_y, _ = dy.shape
    height = 2 if pooled else 1
    row_pixels = height * height * columns_of_y
    chunks = K_up // chunk
    counter = new_counter()
    for thread in prange(threads):
        zeros = np.zeros(max(chunk, 1), np.float32)
        dz, windows = buffer[thread], columns[thread]
        job = next_item(counter)
        while job < parts * groups * chunks:
            part, group, k0 = job // (groups * chunks), job // chunks % groups, (job % chunks) * chunk
            first, last = share(N * rows_of_y, part, parts)
            for row in range(first, last, band):
                rows = min(band, last - row)
                _fill_band(dy, argmax, pooled, row, rows, group * outputs, outputs, dz)
                to = address(windows)
                for r in range(row, row + rows):
                    n, h = divmod(r, rows_of_y)
                    for i in range(height):
                        for w in range(height * columns_of_y):
                            k1 = min(k0 + chunk, K)
                            at = address(zeros)
                            if groups == 1 and geometry[5] == 1:
                                _gather(x, at, geometry, n, height * h + i, w, k0, k1, to)
                            else:
                                _gather_taps(x, at, geometry, n, height * h + i, w, group, inputs, k0, k1, to)
                            to += 4 * chunk
                for q in range(0, width, COLUMNS):
                    for k in range(0, chunk, CHANNELS):
                        to = address(sums) + 4 * (((part * groups + group) * K_up + k0 + k) * width + q)
                        for p in range(0, rows * row_pixels, _PIXELS):
                            terms = min(_PIXELS, rows * row_pixels - p)
                            a = address(windows) + 4 * (chunk * p + k)
                            b = address(dz) + 4 * (width * p + q)
                            outer_products(a, chunk, b, width, terms, to, width)
            job = next_item(counter)


@kernel()
def _fill_band(dy, argmax, pooled, row, rows, m, channels, dz):
    """The gradient before pooling of some rows of y, pixel by pixel: so many channels from channel ``m`` on."""
    columns_of_y, M = dy.shape[2:]
    size = 4 * dz.shape[1]
    for pixel in range(rows * columns_of_y):
        at = M * (row * columns_of_y + pixel) + m
        if pooled:
            r, w = divmod(pixel, columns_of_y)
            top = address(dz) + size * (4 * columns_of_y * r + 2 * w)
            bottom = top + size * 2 * columns_of_y
            unpool_pixel(address(dy) + 4 * at, address(argmax) + at, top, bottom, dz.shape[1], channels, False)
        else:
            _copy(address(dy) + 4 * at, address(dz) + size * pixel, channels)


@kernel(parallel=True)
def _add_parts(sums, groups, dW):
    taps, inputs, M = dW.shape
    parts, _, _, _ = sums.shape
    outputs, together = M // groups, groups // sums.shape[1]
    for k in prange(taps * inputs):
        tap, c = k // inputs, k % inputs
        for group in range(groups):
            job, place = group // together, group % together
            row, column, m0 = (tap * together + place) * inputs + c, place * outputs, group * outputs
            for m in range(outputs):
                dW[tap, c, m0 + m] = sums[0, job, row, column + m]
            for part in range(1, parts):
                for m in range(outputs):
                    dW[tap, c, m0 + m] += sums[part, job, row, column + m]
