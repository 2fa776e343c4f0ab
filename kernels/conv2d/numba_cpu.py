"""Convolution in float32: an implicit matrix product whose rows are found by address.

Row p of the product is an output pixel; its inner sum runs over the taps of the window, and each tap contributes the
channels of one input pixel, adjacent in memory. The micro-kernel takes a table of the addresses of those pixels (that
of a row of zeros where the window hangs over the edge): no padded copy and no im2col is made, any stride and
padding serve. The gradient with respect to x is a convolution of dy with the taps turned round, and the gradient of W
sums over pixels with the same tables. A first layer of few channels is gathered into rows (im2col) instead: a sum over
three adjacent numbers at a time would waste the vector units.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.conv2d.reference import Padding, both_sides, output_size
from scratchlv.kernels.linear.numba_cpu import sum_rows
from scratchlv.kernels.matmul.micro_kernels import CHANNELS, COLUMNS, ROWS
from scratchlv.kernels.matmul.numba_cpu import (
    INNER_BLOCK,
    NO_BIAS,
    float32_only,
    gemm,
    new_buffers,
    pack,
    tile_product,
    transposed_tile,
)

Array = np.ndarray
_FEW_CHANNELS = 8  # with fewer, im2col is the faster way


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    W: Array  # (kh, kw, C, M)
    bias: bool
    stride: int
    padding: Padding
    x_is_data: bool
    columns: Array | None  # (N H' W', kh kw C): the gathered windows, where there are few channels


def limits(x, W, b=None, *, stride=1, padding=0, groups=1, x_is_data=False, train=True) -> str | None:
    if groups != 1:
        return f"it serves one group, and got {groups} (for one channel a group, use depthwise_conv2d)"
    return float32_only(x, W, b)


def forward(
    x: Array,
    W: Array,
    b: Array | None = None,
    *,
    stride: int = 1,
    padding: Padding = 0,
    groups: int = 1,
    x_is_data: bool = False,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    H_out, W_out = output_size(x.shape, W.shape, stride, padding, groups)
    kh, kw, C, M = W.shape
    x, W2 = np.ascontiguousarray(x), np.ascontiguousarray(W).reshape(-1, M)
    columns = None
    if kh == kw == stride == 1 and padding == 0:
        y = gemm(x.reshape(-1, C), W2, bias=b)
    elif C < _FEW_CHANNELS:
        columns = np.empty((x.shape[0] * H_out * W_out, kh * kw * C), np.float32)
        _gather(x, columns, kw, H_out, W_out, stride, *_top_left(padding))
        y = gemm(columns, W2, bias=b)
    else:
        y = np.empty((x.shape[0] * H_out * W_out, M), np.float32)
        bias = NO_BIAS if b is None else np.ascontiguousarray(b)
        _convolve(x, pack(W2), y, bias, kh, kw, H_out, W_out, stride, 1, *_top_left(padding), n_threads())
    cache = Cache(x, W, b is not None, stride, padding, x_is_data, columns) if train else None
    return y.reshape(x.shape[0], H_out, W_out, M), cache


def backward(dy: Array, cache: Cache) -> tuple[Array | None, Array, Array | None]:
    dy = np.ascontiguousarray(dy)
    dx = None if cache.x_is_data else _input_gradient(dy, cache)
    db = sum_rows(dy.reshape(-1, dy.shape[3])) if cache.bias else None
    return dx, _weight_gradient(dy, cache), db


def _top_left(padding: Padding) -> tuple[int, int]:
    (top, _), (left, _) = both_sides(padding)
    return top, left


def _input_gradient(dy: Array, cache: Cache) -> Array:
    """dy, spread out by the stride, convolved with W turned round, its inputs and outputs exchanged."""
    x, W, stride = cache.x, cache.W, cache.stride
    kh, kw, C, M = W.shape
    top, left = _top_left(cache.padding)
    dx = np.empty((x.shape[0] * x.shape[1] * x.shape[2], C), np.float32)
    turned = np.ascontiguousarray(W[::-1, ::-1].transpose(0, 1, 3, 2)).reshape(-1, C)  # (kh kw M, C)
    pads = (kh - 1 - top, kw - 1 - left)
    _convolve(dy, pack(turned), dx, NO_BIAS, kh, kw, *x.shape[1:3], 1, stride, *pads, n_threads())
    return dx.reshape(x.shape)


def _weight_gradient(dy: Array, cache: Cache) -> Array:
    x, W = cache.x, cache.W
    dy2 = dy.reshape(-1, dy.shape[3])  # (N H' W', M)
    if cache.columns is not None:
        return gemm(cache.columns, dy2, transpose_a=True).reshape(W.shape)
    if W.shape[0] == W.shape[1] == cache.stride == 1 and cache.padding == 0:
        return gemm(x.reshape(-1, x.shape[3]), dy2, transpose_a=True).reshape(W.shape)
    dW = np.zeros((W.shape[0] * W.shape[1] * W.shape[2], W.shape[3]), np.float32)
    top, left = _top_left(cache.padding)
    _sum_over_pixels(x, dy2, dW, W.shape[0], W.shape[1], *dy.shape[1:3], cache.stride, top, left, n_threads())
    return dW.reshape(W.shape)


@kernel()
def _pixel_address(x, zeros, p, i, j, H_out, W_out, stride, spread, top, left):
    """Where the pixel lies that tap (i, j) of output pixel p meets; ``spread`` - 1 zeros lie between pixels of x."""
    n, rest = divmod(p, H_out * W_out)
    h = (rest // W_out) * stride + i - top
    w = (rest % W_out) * stride + j - left
    if h < 0 or w < 0 or h % spread or w % spread:
        return zeros
    h //= spread
    w //= spread
    if h >= x.shape[1] or w >= x.shape[2]:
        return zeros
    return x.ctypes.data + 4 * x.shape[3] * ((n * x.shape[1] + h) * x.shape[2] + w)


@kernel(parallel=True)
def _convolve(x, panels, y, bias, kh, kw, H_out, W_out, stride, spread, top, left, threads):
    n_pixels, M = y.shape
    C = x.shape[3]
    n_tiles = -(-n_pixels // ROWS)
    for thread in prange(threads):
        first, last = share(n_tiles, thread, threads)
        zeros = np.zeros(C, np.float32)
        scratch = np.empty((ROWS, COLUMNS), np.float32)
        table = np.empty((kh * kw, ROWS), np.int64)
        for tile in range(first, last):
            p0, p1 = tile * ROWS, min((tile + 1) * ROWS, n_pixels)
            for r in range(ROWS):
                p = min(p0 + r, n_pixels - 1)  # a ragged tile repeats its last pixel
                for i in range(kh):
                    for j in range(kw):
                        table[i * kw + j, r] = _pixel_address(
                            x, zeros.ctypes.data, p, i, j, H_out, W_out, stride, spread, top, left
                        )
            for q in range(panels.shape[0]):
                panel = panels.ctypes.data + 4 * q * panels.shape[1] * COLUMNS
                n0, n1 = q * COLUMNS, min((q + 1) * COLUMNS, M)
                tile_product(table.ctypes.data, kh * kw, C, panel, y, p0, p1, n0, n1, bias, False, scratch)


@kernel(parallel=True)
def _sum_over_pixels(x, dy, dW, kh, kw, H_out, W_out, stride, top, left, threads):
    """``dW[tap C + c, m] += Σ_p x[pixel(p, tap), c] dy[p, m]``: each thread has its own taps and channels."""
    n_pixels, M = dy.shape
    C = x.shape[3]
    tiles = -(-C // CHANNELS)
    for thread in prange(threads):
        first, last = share(kh * kw * tiles, thread, threads)
        zeros = np.zeros(C + CHANNELS, np.float32)
        table = np.empty(INNER_BLOCK, np.int64)
        buffers = new_buffers()
        for p0 in range(0, n_pixels, INNER_BLOCK):
            rows = min(INNER_BLOCK, n_pixels - p0)
            tap_in_table = -1
            for job in range(first, last):
                tap, tile = divmod(job, tiles)
                if tap != tap_in_table:
                    for r in range(rows):
                        table[r] = _pixel_address(
                            x, zeros.ctypes.data, p0 + r, tap // kw, tap % kw, H_out, W_out, stride, 1, top, left
                        )
                    tap_in_table = tap
                for m0 in range(0, M, COLUMNS):
                    transposed_tile(
                        table[:rows], C, tile * CHANNELS, dy, p0, m0, dW, tap * C + tile * CHANNELS, buffers
                    )


@kernel(parallel=True)
def _gather(x, columns, kw, H_out, W_out, stride, top, left):
    """Im2col: each row holds the window of one output pixel, zeros where it hangs over the edge."""
    N, H, W, C = x.shape
    kh = columns.shape[1] // (kw * C)
    for row in prange(N * H_out):
        n, h = divmod(np.int64(row), H_out)
        for w in range(W_out):
            out = columns[row * W_out + w]
            for i in range(kh):
                y_at = h * stride + i - top
                for j in range(kw):
                    x_at = w * stride + j - left
                    at = (i * kw + j) * C
                    inside = 0 <= y_at < H and 0 <= x_at < W
                    for c in range(C):
                        out[at + c] = x[n, y_at, x_at, c] if inside else 0
