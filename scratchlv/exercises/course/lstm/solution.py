"""The LSTM through time: the same step, T times, and back again.

    h_t, c_t = step(x_t, h_{t-1}, c_{t-1})    t = 1 … T, beginning at h_0, c_0

Forward returns every h, since whatever stands above may look at each of them,
and the last c, with which one could go on. Backward goes from the last step
to the first ("backpropagation through time").

Why: a sentence is read word by word by one and the same cell. What it should
have kept of the first word is learned from what went wrong at the last.

    T steps, N sequences, D inputs, H units; time is the first axis
    x (T, N, D)    h0, c0 (N, H)    h (T, N, H)    c (N, H), the last one
    Wx (D, 4H)  Wh (H, 4H)  b (4H,), in the order i, f, g, o

The step and its backward pass are those of the exercise before, and given
here. x[0] in Python is x_1 above, and h[0] is h_1: h0 is not among them. From
float32 come float32 results and gradients.

A tiny example, T = 2, N = D = H = 1: at both steps the gates are i = 0.75,
f = 0.5, g = 0.6, o = 0.75. So c goes from 1 to 0.5 + 0.45 = 0.95, and then to
0.475 + 0.45 = 0.925.

    >>> x, h0, c0 = np.ones((2, 1, 1)), np.zeros((1, 1)), np.ones((1, 1))
    >>> Wx = np.log([[3.0, 1.0, 2.0, 3.0]])
    >>> Wh, b = np.zeros((1, 4)), np.zeros(4)
    >>> (h, c), cache = forward(x, h0, c0, Wx, Wh, b)
    >>> h.round(4).ravel().tolist(), c.round(4).tolist()
    ([0.5548, 0.5462], [[0.925]])

With dc = 1 alone, the gradient of c_0 is f twice, 0.5 · 0.5:

    >>> grads = backward((np.zeros((2, 1, 1)), np.ones((1, 1))), cache)
    >>> grads[2].round(4).tolist()
    [[0.25]]
"""

import numpy as np


def sigmoid(a):
    """Given."""
    return 0.5 * (1 + np.tanh(0.5 * a))


def step_forward(x, h_prev, c_prev, Wx, Wh, b):
    """Given: one step, x (N, D); returns (h, c), cache."""
    i, f, g, o = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)  # (N, H) each
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * c_prev + i * g
    return (o * np.tanh(c), c), (x, h_prev, c_prev, Wx, Wh, i, f, g, o, c)


def step_backward(dy, cache):
    """Given: dx, dh_prev, dc_prev, dWx, dWh, db of one step, from dy = (dh, dc)."""
    x, h_prev, c_prev, Wx, Wh, i, f, g, o, c = cache
    dh, dc = dy
    dc = dc + dh * o * (1 - np.tanh(c) ** 2)
    di, df, dg, do = dc * g, dc * c_prev, dc * i, dh * np.tanh(c)
    da = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, h_prev.T @ da, da.sum(axis=0)


def forward(x, h0, c0, Wx, Wh, b):
    """All steps; returns (h, c), cache."""
    # <solution>
    h, c = h0, c0
    hs, caches = [], []
    for x_t in x:
        (h, c), cache = step_forward(x_t, h, c, Wx, Wh, b)
        hs.append(h)
        caches.append(cache)
    return (np.stack(hs), c), (caches, Wx, Wh, b)
    # </solution>


def backward(dy, cache):
    """dx, dh0, dc0, dWx, dWh, db, each of the shape of its own."""
    dh, dc = dy  # (T, N, H), of every h; (N, H), of the last c
    # <solution>
    caches, Wx, Wh, b = cache
    dx = []
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh_next, dc_next = np.zeros_like(dc), dc  # what comes back from step t + 1; after the last there is none
    for t in reversed(range(len(caches))):
        dh_t = dh[t] + dh_next
        dx_t, dh_next, dc_next, dWx_t, dWh_t, db_t = step_backward((dh_t, dc_next), caches[t])
        dx.insert(0, dx_t)
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return np.stack(dx), dh_next, dc_next, dWx, dWh, db
    # </solution>
