"""Max pooling: of each window of a feature map, keep the largest value.

Why: the map gets smaller, so what comes after it is cheaper and sees more of
the picture at once; and a feature is found even if it moves by a pixel.

    y[n, i, j, c] = max over a, b = 0 … k−1 of x[n, s·i + a, s·j + b, c]

The window is k × k, and windows begin s (the stride) apart. Every channel is
pooled by itself. Windows overlap if s < k.

forward(x, k, stride) -> y, cache
    x       (N, H, W, C)    pictures, rows, columns, channels
    k       an integer      side of the window
    stride  an integer      s
    y       (N, H', W', C)  H' = (H − k) // s + 1,  W' = (W − k) // s + 1
    Rows and columns that fill no window are left out.

backward(dy, cache) -> dx
    dy      (N, H', W', C)  the gradient of the loss by y
    dx      (N, H, W, C)    the gradient of the loss by x

The cache is whatever your backward needs of forward. From float32 come
float32 results and gradients.

max has a slope of 1 for the largest value of a window and of 0 for all others.
If two values are equally large, let the first of them be the one, row by row
from the top left: it takes all of the gradient. (np.argmax chooses so.)

A tiny example, one picture with one channel, k = 2, s = 2:

    1 5 2 2                     . 10 20 .
    3 4 0 2   ->   5 2          .  . .  .       dx for dy = 10 20
    0 0 7 1        6 9          .  . .  .                  30 40
    6 0 8 9                    30  . . 40

    >>> x = np.array([[1., 5, 2, 2], [3, 4, 0, 2], [0, 0, 7, 1], [6, 0, 8, 9]])
    >>> y, cache = forward(x.reshape(1, 4, 4, 1), 2, 2)
    >>> y[0, :, :, 0].tolist()
    [[5.0, 2.0], [6.0, 9.0]]
    >>> dy = np.array([[10., 20], [30, 40]]).reshape(1, 2, 2, 1)
    >>> backward(dy, cache)[0, :, :, 0].astype(int).tolist()
    [[0, 10, 20, 0], [0, 0, 0, 0], [0, 0, 0, 0], [30, 0, 0, 40]]

The top right window holds three times a 2: the first, row by row, got the 20.
"""

import numpy as np


def forward(x, k, stride):
    """x (N, H, W, C) -> y (N, H', W', C), cache."""
    # <solution>
    N, H, W, C = x.shape
    out_h, out_w = (H - k) // stride + 1, (W - k) // stride + 1
    y = np.zeros((N, out_h, out_w, C), x.dtype)
    place = np.zeros((N, out_h, out_w, C), int)  # of the largest value in its window, row by row
    for i in range(out_h):
        for j in range(out_w):
            window = x[:, i * stride : i * stride + k, j * stride : j * stride + k]  # (N, k, k, C)
            window = window.reshape(N, k * k, C)
            place[:, i, j] = window.argmax(axis=1)  # (N, C): the first, if several are equal
            y[:, i, j] = window.max(axis=1)
    return y, (x, y, place, k, stride)
    # </solution>


def backward(dy, cache):
    """dy (N, H', W', C) -> dx (N, H, W, C)."""
    # <solution>
    x, y, place, k, stride = cache
    N, out_h, out_w, C = place.shape
    dx = np.zeros(x.shape, dy.dtype)
    n, c = np.arange(N)[:, None], np.arange(C)  # (N, 1) and (C,): together all pairs (n, c)
    for i in range(out_h):
        for j in range(out_w):
            a, b = np.divmod(place[:, i, j], k)  # row and column in the window, (N, C) each
            dx[n, i * stride + a, j * stride + b, c] += dy[:, i, j]  # +=: windows may overlap
    return dx
    # </solution>
