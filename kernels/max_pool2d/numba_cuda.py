"""Max pooling as CUDA kernels in Python, forward and backward: the twins of those in ``max_pool2d.cu``.

They run on a GPU, or anywhere, slowly, under Numba's simulator: ``NUMBA_ENABLE_CUDASIM=1``.
"""

import numpy as np
from numba import cuda

from scratchlv.arrays import Array
from scratchlv.kernels.max_pool2d.reference import output_shape

THREADS = 32


def forward(x: Array, size: int, stride: int) -> tuple[Array, Array]:
    """The maximum of each window of ``x`` (N, H, W, C), and its place in the window, uint8; both (N, H', W', C)."""
    y = np.zeros_like(x, shape=output_shape(x.shape, size, stride))
    argmax = np.zeros_like(x, np.uint8, shape=y.shape)
    if y.size:
        _forward[-(-y.size // THREADS), THREADS](x, y, argmax, size, stride)
    return y, argmax


def backward(dy: Array, argmax: Array, shape: tuple[int, int, int, int], size: int, stride: int) -> Array:
    """``dx`` of this ``shape``."""
    dx = np.zeros_like(dy, shape=shape)
    if dx.size:
        _backward[-(-dx.size // THREADS), THREADS](dy, argmax, dx, size, stride)
    return dx


@cuda.jit(device=True)
def _place(k, shape):
    """Which (n, row, column, channel) number ``k`` is."""
    _, H, W, C = shape
    return k // (H * W * C), k // (W * C) % H, k // C % W, k % C


@cuda.jit
def _forward(x, y, argmax, size, stride):
    """A thread for a number of y: neighbours read neighbouring channels."""
    k = cuda.grid(1)
    if k >= y.size:
        return
    n, row, column, c = _place(k, y.shape)
    best, at = x[n, row * stride, column * stride, c], 0
    for place in range(1, size * size):
        value = x[n, row * stride + place // size, column * stride + place % size, c]
        if not best >= value and best == best:  # a NaN counts as the largest, and the first one stays
            best, at = value, place
    y[n, row, column, c] = best
    argmax[n, row, column, c] = at


@cuda.jit
def _backward(dy, argmax, dx, size, stride):
    """A thread for a number of x, which asks the windows that hold it whether they took it: nobody adds to another's sum."""
    k = cuda.grid(1)
    if k >= dx.size:
        return
    n, row, column, c = _place(k, dx.shape)
    _, rows, columns, _ = dy.shape
    total = dx[n, row, column, c]
    for i in range(size):
        for j in range(size):
            top, left = row - i, column - j
            if top >= 0 and left >= 0 and top % stride == 0 and left % stride == 0:
                u, v = top // stride, left // stride
                if u < rows and v < columns and argmax[n, u, v, c] == i * size + j:
                    total += dy[n, u, v, c]
    dx[n, row, column, c] = total
