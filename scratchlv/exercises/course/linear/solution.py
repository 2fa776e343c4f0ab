"""Linear: every output is a weighted sum of all inputs.

    y = x W + b        y_m = Σ_d x_d W_dm + b_m

What the functions get and return:

    forward(x, W, b)      x (…, D), W (D, M), b (M,) -> y (…, M), cache
    backward(dy, cache)   dy (…, M) -> dx (…, D), dW (D, M), db (M,)

The last axis of x holds the D inputs. Before it any axes may stand, also
none: (N, D) for N pictures, (T, N, D) for T words of N sentences. Each of
these rows is treated alike, with the same W and b. So a change of W_dm
moves y_m in every row, and its gradient is a sum over all of them; b's too.

backward returns the gradients in the order of forward's inputs: dx, dW, db.
A gradient always has the shape of what it belongs to.

A tiny example, with one row of two inputs, and three outputs:

    >>> x = np.array([[1.0, 2.0]])
    >>> W = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    >>> y, cache = forward(x, W, np.array([0.5, 0.0, 0.0]))
    >>> y.tolist()
    [[1.5, 2.0, 4.0]]
    >>> dx, dW, db = backward(np.array([[1.0, 10.0, 100.0]]), cache)

x_0 has the weights 1, 0, 2, so dx_0 = 1·1 + 10·0 + 100·2; and dW_dm is
x_d dy_m, added up over the rows, of which there is one:

    >>> dx.tolist()
    [[201.0, 110.0]]
    >>> dW.tolist()
    [[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]]
    >>> db.tolist()
    [1.0, 10.0, 100.0]

Why one wants it: nearly all the numbers that a network learns stand in such
a W, in recurrent cells and attention too.
"""

import numpy as np


def forward(x, W, b):
    """x (…, D), W (D, M), b (M,) -> y (…, M), cache."""
    # <solution>
    return x @ W + b, (x, W)
    # </solution>


def backward(dy, cache):
    """dy (…, M) -> dx (…, D), dW (D, M), db (M,)."""
    # <solution>
    x, W = cache
    D, M = W.shape
    x2, dy2 = x.reshape(-1, D), dy.reshape(-1, M)  # all rows below each other
    dx = dy @ W.T  # (…, D)
    dW = x2.T @ dy2  # (D, M): the product sums over the rows
    db = np.sum(dy2, axis=0)  # (M,): b was added to every row
    return dx, dW, db
    # </solution>
