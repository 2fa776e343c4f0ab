"""A step of the RNN: a new state from the old one and from what is seen.

    h_next = tanh(x Wx + h Wh + b)

x is what is seen now, a word's vector say; h is the state: what the network
knows of all that it saw before.

What the functions get and return:

    forward(x, h, Wx, Wh, b)     x (N, D), h (N, H), Wx (D, H), Wh (H, H),
                                 b (H,) -> h_next (N, H), cache
    backward(dh_next, cache)     dh_next (N, H)
                                 -> dx (N, D), dh (N, H),
                                    dWx (D, H), dWh (H, H), db (H,)

N sequences are computed side by side. dh_next is the gradient of the loss
by the new state; backward returns those by all inputs, in their order. Two
things you have: the gradients of a linear layer, and the slope of tanh,
which its value tells: 1 − h_next².

A tiny example, with one number of each. With x = log 2 − 1, h = 0.5, Wx = 1
and Wh = 2 the sum is log 2, and tanh(log 2) = 0.6:

    >>> x, h = np.array([[np.log(2.0) - 1]]), np.array([[0.5]])
    >>> Wx, Wh, b = np.array([[1.0]]), np.array([[2.0]]), np.array([0.0])
    >>> h_next, cache = forward(x, h, Wx, Wh, b)
    >>> h_next.round(4).tolist()
    [[0.6]]

The slope of tanh is 1 − 0.36 = 0.64 there. The old state has the weight 2,
and Wh is multiplied by 0.5:

    >>> dx, dh, dWx, dWh, db = backward(np.array([[1.0]]), cache)
    >>> dx.round(4).tolist(), dh.round(4).tolist()
    ([[0.64]], [[1.28]])
    >>> dWx.round(4).tolist(), dWh.round(4).tolist(), db.round(4).tolist()
    ([[-0.1964]], [[0.32]], [0.64])

Why one wants it: the next exercise repeats this step once for each word,
and sends the gradient back through all of them.
"""

import numpy as np


def forward(x, h, Wx, Wh, b):
    """x (N, D), h (N, H), Wx (D, H), Wh (H, H), b (H,) -> h_next (N, H), cache."""
    # <solution>
    h_next = np.tanh(x @ Wx + h @ Wh + b)  # (N, H)
    return h_next, (x, h, Wx, Wh, h_next)
    # </solution>


def backward(dh_next, cache):
    """dh_next (N, H) -> dx (N, D), dh (N, H), dWx (D, H), dWh (H, H), db (H,)."""
    # <solution>
    x, h, Wx, Wh, h_next = cache
    da = dh_next * (1 - h_next**2)  # (N, H), of the sum inside of tanh
    dx = da @ Wx.T  # (N, D)
    dh = da @ Wh.T  # (N, H)
    dWx = x.T @ da  # (D, H)
    dWh = h.T @ da  # (H, H)
    db = da.sum(axis=0)  # (H,)
    return dx, dh, dWx, dWh, db
    # </solution>
