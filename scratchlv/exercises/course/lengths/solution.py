"""Sequences of different lengths: past its end, a state stands still.

The sentences of a batch share one array of T steps, but sequence n has only
lengths[n] of them; behind its end lies padding, whatever numbers these are.

    h_t[n] = tanh(x_t[n] Wx + h_{t-1}[n] Wh + b)    while t < lengths[n]
    h_t[n] = h_{t-1}[n]                             from there on

t = 0 … T-1 here, and h_{-1} is h0. A length may be 0: then all states of
this sequence are its h0.

Why: the last row h_{T-1} is then the last state of every sequence, short or
long, ready for whatever comes after. And the padding has no part in anything:
no gradient reaches its x, and the weights do not feel it.

    T steps, N sequences, D inputs, H units
    x (T, N, D)    h0 (N, H)    h (T, N, H)    lengths (N,), integers
    Wx (D, H)  Wh (H, H)  b (H,)

From float32 come float32 results and gradients; no input is changed.

A tiny example, T = N = 2, D = H = 1. With Wx = 1 and Wh = 0, h_t is tanh(x_t);
tanh(log 2) = 0.6 and tanh(log 3) = 0.8. The second sequence has one step:

    >>> x = np.log([[[2.0], [3.0]], [[3.0], [9.0]]])
    >>> h0, Wx, Wh, b = np.ones((2, 1)), np.eye(1), 0 * np.eye(1), np.zeros(1)
    >>> h, cache = forward(x, h0, Wx, Wh, b, np.array([2, 1]))
    >>> h[..., 0].round(4).tolist()
    [[0.6, 0.8], [0.8, 0.8]]

With dy = 1 everywhere, 0.8 of the second sequence has the gradient 1 + 1, as
it stands twice in h; the slope of tanh is 1 - 0.8² = 0.36:

    >>> dx = backward(np.ones((2, 2, 1)), cache)[0]
    >>> dx[..., 0].round(4).tolist()
    [[0.64, 0.72], [0.36, 0.0]]
"""

import numpy as np


def step_forward(x, h_prev, Wx, Wh, b):
    """Given: one step of all sequences, x (N, D); returns h (N, H), cache."""
    h = np.tanh(x @ Wx + h_prev @ Wh + b)
    return h, (x, h_prev, Wx, Wh, h)


def step_backward(dh, cache):
    """Given: dx, dh_prev, dWx, dWh, db of one step."""
    x, h_prev, Wx, Wh, h = cache
    da = dh * (1 - h**2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, h_prev.T @ da, da.sum(axis=0)


def forward(x, h0, Wx, Wh, b, lengths):
    """Every h (T, N, H), and a cache."""
    # <solution>
    h, hs, caches = h0, [], []
    for t in range(len(x)):
        on = (t < lengths)[:, None]  # (N, 1): who takes this step
        h_new, cache = step_forward(x[t], h, Wx, Wh, b)
        h = np.where(on, h_new, h)
        hs.append(h)
        caches.append((on, cache))
    return np.stack(hs), (caches, x, h0, Wx, Wh, b)
    # </solution>


def backward(dy, cache):
    """dx, dh0, dWx, dWh, db from dy (T, N, H); lengths are integers and have no gradient."""
    # <solution>
    caches, x, h0, Wx, Wh, b = cache
    dx, dh = np.zeros_like(x), np.zeros_like(h0)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    for t in reversed(range(len(x))):
        on, step_cache = caches[t]
        dh = dh + dy[t]
        through, past = np.where(on, dh, 0), np.where(on, 0, dh)
        dx[t], dh_step, dWx_t, dWh_t, db_t = step_backward(through, step_cache)
        dh = dh_step + past
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dh, dWx, dWh, db
    # </solution>
