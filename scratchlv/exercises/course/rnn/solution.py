"""The RNN through time: one step, repeated, and its gradient sent back.

    h_t = step(x_t, h_{t−1})        t = 1 … T,  with h_0 given

The same Wx, Wh and b serve every step. The output is all of the states,
y = (h_1, …, h_T), and the loss may look at each of them. In Python, which
counts from 0, y[t] is the state after x[t], and step t begins with y[t − 1],
or with h0 if t is 0.

What the functions get and return; time comes first:

    forward(x, h0, Wx, Wh, b)    x (T, N, D), h0 (N, H), Wx (D, H),
                                 Wh (H, H), b (H,) -> y (T, N, H), cache
    backward(dy, cache)          dy (T, N, H) -> dx (T, N, D), dh0 (N, H),
                                 dWx (D, H), dWh (H, H), db (H,)

One step and its backward pass, from the exercise before, are given below.

dy[t] is the gradient by y[t] of whatever looks at it. But y[t] is also the
old state of step t + 1, which sends a gradient back, too. Both add up:

    dh_t = dy_t + (what step t + 1 sends back)

The last step has no step after it. The weights were used in every step, so
their gradients are sums over t.

A tiny example, with one number of each, Wx = Wh = 1 and b = 0. Only the
first x is not 0, and it is log 2; so the states are tanh(log 2) = 0.6 and
tanh(0.6) = 0.537:

    >>> x = np.log([[[2.0]], [[1.0]]])
    >>> one, zero = np.ones((1, 1)), np.zeros((1, 1))
    >>> y, cache = forward(x, zero, one, one, np.zeros(1))
    >>> y[:, 0, 0].round(3).tolist()
    [0.6, 0.537]

If the loss looks at the last state only (dy = 0, 1), step 2 has the slope
1 − 0.537² = 0.7116, which goes on to step 1, whose slope is 0.64; together
0.4554. b was added in both steps: 0.7116 + 0.4554 = 1.167:

    >>> dx, dh0, dWx, dWh, db = backward(np.array([[[0.0]], [[1.0]]]), cache)
    >>> dx[:, 0, 0].round(4).tolist(), dh0.round(4).tolist()
    ([0.4554, 0.7116], [[0.4554]])
    >>> db.round(3).tolist(), dWh.round(3).tolist()
    ([1.167], [[0.427]])

Why one wants it: this loop is backpropagation through time. That of the
LSTM, and of every decoder, is the same loop around another step.
"""

import numpy as np


def step_forward(x, h, Wx, Wh, b):
    """x (N, D), h (N, H) -> h_next (N, H), cache."""
    h_next = np.tanh(x @ Wx + h @ Wh + b)
    return h_next, (x, h, Wx, Wh, h_next)


def step_backward(dh_next, cache):
    """dh_next (N, H) -> dx (N, D), dh (N, H), dWx (D, H), dWh (H, H), db (H,), of this step alone."""
    x, h, Wx, Wh, h_next = cache
    da = dh_next * (1 - h_next**2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, h.T @ da, da.sum(axis=0)


def forward(x, h0, Wx, Wh, b):
    """x (T, N, D), h0 (N, H), Wx (D, H), Wh (H, H), b (H,) -> y (T, N, H), cache."""
    # <solution>
    y = np.zeros((len(x), *h0.shape))
    caches = []  # one per step
    h = h0
    for t in range(len(x)):
        h, cache = step_forward(x[t], h, Wx, Wh, b)
        y[t] = h
        caches.append(cache)
    return y, (caches, x, Wx, Wh, b)
    # </solution>


def backward(dy, cache):
    """dy (T, N, H) -> dx (T, N, D), dh0 (N, H), dWx (D, H), dWh (H, H), db (H,)."""
    # <solution>
    caches, x, Wx, Wh, b = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh = np.zeros_like(dy[0])  # nothing comes after the last step
    for t in reversed(range(len(dy))):
        dh = dh + dy[t]  # from the step after, and from what looks at y[t]
        dx[t], dh, dWx_t, dWh_t, db_t = step_backward(dh, caches[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dh, dWx, dWh, db  # what is sent back by the first step is the gradient of h0
    # </solution>
