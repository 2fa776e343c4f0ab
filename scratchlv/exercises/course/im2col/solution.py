"""Convolution as one matrix product: im2col, and its way back, col2im.

The windows of a picture are copied into the rows of a matrix, one row for each
place of the output, in the order of n, i, j:

    cols[row of (n, i, j)] = X[n, i·s : i·s + kh, j·s : j·s + kw, :], flattened

X is x with p zeros on all four sides, s the stride. Then

    y = cols V + b        V is W (kh, kw, C, M) as a matrix (kh·kw·C, M)

A row is flattened as W is: C changes fastest, then kw, then kh, as NumPy's
reshape does it.

col2im is the backward pass of im2col: a gradient of the columns comes in, and
each pixel of x gets the sum over all places in cols to which it was copied.

Why: one large matrix product is the fastest thing that a computer knows. The
price is memory: every pixel is there kh·kw times (if s = 1).

    x (N, H, W, C)    W (kh, kw, C, M)    b (M,)    y (N, H', W', M)
    cols (N·H'·W', kh·kw·C)    H' = (H + 2p - kh) // s + 1, and W' alike
    (in the shapes of x, y and cols, W is the width; else it is the weights)

It goes without a loop over places: a loop over the kh·kw taps of the window
is enough. From float32 come float32 results and gradients.

A tiny example: a row of four pixels, a window of 1 × 2. Pixels 1 and 2 are
copied twice; so with ones for a gradient of the columns they get 2.

    >>> x = np.array([1.0, 4.0, 9.0, 9.0]).reshape(1, 1, 4, 1)
    >>> im2col(x, 1, 2, 1, 0).tolist()
    [[1.0, 4.0], [4.0, 9.0], [9.0, 9.0]]
    >>> col2im(np.ones((3, 2)), (1, 1, 4, 1), 1, 2, 1, 0).ravel().tolist()
    [1.0, 2.0, 2.0, 1.0]
    >>> W = np.array([-1.0, 1.0]).reshape(1, 2, 1, 1)
    >>> forward(x, W, np.zeros(1), 1, 0)[0].ravel().tolist()
    [3.0, 5.0, 0.0]
"""

import numpy as np


def output_size(H, W, kh, kw, stride, padding):
    """Given: H' and W'."""
    return (H + 2 * padding - kh) // stride + 1, (W + 2 * padding - kw) // stride + 1


def im2col(x, kh, kw, stride, padding):
    """x (N, H, W, C) -> cols (N·H'·W', kh·kw·C)."""
    # <solution>
    (N, H, W, C), p = x.shape, padding
    rows, columns = output_size(H, W, kh, kw, stride, p)
    X = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    cols = np.zeros((N, rows, columns, kh, kw, C), x.dtype)
    for u in range(kh):
        for v in range(kw):
            cols[:, :, :, u, v] = X[:, u : u + stride * rows : stride, v : v + stride * columns : stride]
    return cols.reshape(N * rows * columns, kh * kw * C)
    # </solution>


def col2im(dcols, x_shape, kh, kw, stride, padding):
    """dcols (N·H'·W', kh·kw·C) -> dx (N, H, W, C); x_shape is (N, H, W, C)."""
    # <solution>
    (N, H, W, C), p = x_shape, padding
    rows, columns = output_size(H, W, kh, kw, stride, p)
    dcols = dcols.reshape(N, rows, columns, kh, kw, C)
    dX = np.zeros((N, H + 2 * p, W + 2 * p, C), dcols.dtype)
    for u in range(kh):
        for v in range(kw):
            dX[:, u : u + stride * rows : stride, v : v + stride * columns : stride] += dcols[:, :, :, u, v]
    return dX[:, p : p + H, p : p + W]
    # </solution>


def forward(x, W, b, stride, padding):
    """y (N, H', W', M), and a cache."""
    # <solution>
    kh, kw, _, M = W.shape
    rows, columns = output_size(x.shape[1], x.shape[2], kh, kw, stride, padding)
    cols = im2col(x, kh, kw, stride, padding)
    y = cols @ W.reshape(-1, M) + b  # (N H' W', M)
    return y.reshape(len(x), rows, columns, M), (x.shape, cols, W, stride, padding)
    # </solution>


def backward(dy, cache):
    """dx, dW, db, each of the shape of its own."""
    # <solution>
    x_shape, cols, W, stride, padding = cache
    kh, kw, _, M = W.shape
    g = dy.reshape(-1, M)  # (N H' W', M)
    dW = (cols.T @ g).reshape(W.shape)
    dcols = g @ W.reshape(-1, M).T
    dx = col2im(dcols, x_shape, kh, kw, stride, padding)
    return dx, dW, g.sum(axis=0)
    # </solution>
