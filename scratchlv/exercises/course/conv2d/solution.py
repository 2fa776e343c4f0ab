"""Convolution: the same small window of weights at every place of a picture.

    y[n, i, j, m] = b[m] + Σ_{u, v, c} X[n, i·s + u, j·s + v, c] W[u, v, c, m]

X is x with p zeros on each of its four sides (the padding), s is the stride:
how far the window moves from one place to the next. u = 0 … kh-1 and
v = 0 … kw-1 run over the window, c over the channels of x, m over those of y.
The window is not turned round.

Why: an edge is an edge, wherever in the picture it is. A linear layer would
have to learn it at each place anew; here all places share their weights.

    x (N, H, W, C): pictures, rows, columns, channels
    W (kh, kw, C, M)    b (M,)    stride, padding: integers
    y (N, H', W', M)    H' = (H + 2p - kh) // s + 1, and W' alike
    (in the shapes of x and y, W is the width; else it is the weights)

backward returns the gradients of x, W and b. From float32 come float32
results and gradients; no input is changed. Loops over i and j are fine.

A tiny example: a row of four pixels, one channel, a window of 1 × 2 that
takes the difference of two neighbours.

    >>> x = np.array([1.0, 4.0, 9.0, 9.0]).reshape(1, 1, 4, 1)
    >>> W = np.array([-1.0, 1.0]).reshape(1, 2, 1, 1)
    >>> y, cache = forward(x, W, np.zeros(1), 1, 0)
    >>> y.ravel().tolist()
    [3.0, 5.0, 0.0]

Pixel 1 was in two windows, with the weights 1 and -1. With dy = 10, 20, 30 its
gradient is 10 - 20. Each weight met three pixels: that of -1 has the gradient
10 · 1 + 20 · 4 + 30 · 9.

    >>> dy = np.array([10.0, 20.0, 30.0]).reshape(1, 1, 3, 1)
    >>> dx, dW, db = backward(dy, cache)
    >>> dx.ravel().tolist(), dW.ravel().tolist(), db.tolist()
    ([-10.0, -10.0, -10.0, 30.0], [360.0, 490.0], [60.0])
"""

import numpy as np


def forward(x, W, b, stride, padding):
    """y (N, H', W', M), and a cache."""
    # <solution>
    p = padding
    X = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    kh, kw, _, M = W.shape
    rows, columns = (X.shape[1] - kh) // stride + 1, (X.shape[2] - kw) // stride + 1
    y = np.zeros((len(x), rows, columns, M), x.dtype)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            window = X[:, top : top + kh, left : left + kw]  # (N, kh, kw, C)
            y[:, i, j] = np.tensordot(window, W, 3) + b  # (N, M)
    return y, (x.shape, X, W, stride, padding)
    # </solution>


def backward(dy, cache):
    """dx, dW, db, each of the shape of its own."""
    # <solution>
    x_shape, X, W, stride, p = cache
    kh, kw = W.shape[:2]
    dX, dW = np.zeros_like(X), np.zeros_like(W)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            top, left = i * stride, j * stride
            window = X[:, top : top + kh, left : left + kw]
            dW += np.tensordot(window, dy[:, i, j], (0, 0))  # (kh, kw, C, M)
            dX[:, top : top + kh, left : left + kw] += np.tensordot(dy[:, i, j], W, (1, 3))  # (N, kh, kw, C)
    dx = dX[:, p : p + x_shape[1], p : p + x_shape[2]]
    return dx, dW, dy.sum(axis=(0, 1, 2))
    # </solution>
