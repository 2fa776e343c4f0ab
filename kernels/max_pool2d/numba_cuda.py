"""Max pooling as CUDA kernels in Python, forward and backward: the twins of those in ``max_pool2d.cu``.

They run on a GPU, or anywhere, slowly, under Numba's simulator: ``NUMBA_ENABLE_CUDASIM=1``.
"""

import numpy as np
from numba import cuda

from scratchlv.arrays import Array
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows
from scratchlv.kernels.max_pool2d.reference import layout

THREADS = 32


def forward(
    x: Array, size: Pair, stride: Pair | None = None, padding: Padding = 0, ceil_mode: bool = False
) -> tuple[Array, Array]:
    """The maximum of each window of ``x`` (N, H, W, C), and its place in the window, uint8; both (N, H', W', C)."""
    w = layout(x.shape, size, stride, padding, ceil_mode)
    y = np.zeros_like(x, shape=(x.shape[0], *w.grid, x.shape[3]))
    argmax = np.zeros_like(x, np.uint8, shape=y.shape)
    if y.size:
        _forward[-(-y.size // THREADS), THREADS](x, y, argmax, w.size, w.stride, w.corner)
    return y, argmax


def backward(dy: Array, argmax: Array, w: Windows) -> Array:
    """``dx`` of a picture under these windows."""
    dx = np.zeros_like(dy, shape=(dy.shape[0], *w.picture, dy.shape[3]))
    if dx.size:
        _backward[-(-dx.size // THREADS), THREADS](dy, argmax, dx, w.size, w.stride, w.corner)
    return dx


@cuda.jit(device=True)
def _place(k, shape):
    """Which (n, row, column, channel) number ``k`` is."""
    _, H, W, C = shape
    return k // (H * W * C), k // (W * C) % H, k // C % W, k % C


@cuda.jit
def _forward(x, y, argmax, size, stride, corner):
    """A thread for a number of y: neighbours read neighbouring channels."""
    k = cuda.grid(1)
    if k >= y.size:
        return
    n, row, column, c = _place(k, y.shape)
    _, H, W, _ = x.shape
    top, left = row * stride[0] - corner[0], column * stride[1] - corner[1]
    best, at = x[n, max(0, top), max(0, left), c], -1  # the first that lies in the picture
    for i in range(max(0, -top), min(size[0], H - top)):
        for j in range(max(0, -left), min(size[1], W - left)):
            value = x[n, top + i, left + j, c]
            if at < 0 or (not best >= value and best == best):  # a NaN counts as the largest, and the first one stays
                best, at = value, i * size[1] + j
    y[n, row, column, c] = best
    argmax[n, row, column, c] = at


@cuda.jit
def _backward(dy, argmax, dx, size, stride, corner):
    """A thread for a number of x, which asks the windows that hold it whether they took it: nobody adds to another's sum."""
    k = cuda.grid(1)
    if k >= dx.size:
        return
    n, row, column, c = _place(k, dx.shape)
    _, rows, columns, _ = dy.shape
    total = dx[n, row, column, c]
    for i in range(size[0]):
        for j in range(size[1]):
            top, left = row + corner[0] - i, column + corner[1] - j
            if top >= 0 and left >= 0 and top % stride[0] == 0 and left % stride[1] == 0:
                u, v = top // stride[0], left // stride[1]
                if u < rows and v < columns and argmax[n, u, v, c] == i * size[1] + j:
                    total += dy[n, u, v, c]
    dx[n, row, column, c] = total
