"""One step of an LSTM: a recurrent cell whose memory is changed by adding.

    a = x Wx + h_{t-1} Wh + b        four parts of H columns: a_i a_f a_g a_o
    i = σ(a_i)                       the input gate: what to write
    f = σ(a_f)                       the forget gate: what to keep
    g = tanh(a_g)                    what would be written
    o = σ(a_o)                       the output gate: what to show
    c_t = f ⊙ c_{t-1} + i ⊙ g
    h_t = o ⊙ tanh(c_t)

⊙ is the product of number and number. The order i, f, g, o is a convention:
whoever reads the weights must know it.

Why: in a plain RNN the state goes through the same matrix at every step, and
its gradient soon vanishes. Here the memory c goes from step to step through
a product with f alone; where f is near 1, its gradient lives on.

    N sequences, D inputs, H units
    x (N, D)    h_prev, c_prev, h, c (N, H)
    Wx (D, 4H)  Wh (H, 4H)  b (4H,)

Two results have two gradients: backward gets dh and dc, what comes back to
h_t and to c_t from all that used them after this step. They and the inputs
must stay as they are.

A tiny example, N = D = H = 1, which one can follow with a pencil: as
σ(log 3) = 3/4, σ(0) = 1/2 and tanh(log 2) = 3/5, the gates are i = 0.75,
f = 0.5, g = 0.6, o = 0.75, and so c = 0.5 · 1 + 0.75 · 0.6 = 0.95.

    >>> x, h_prev, c_prev = np.array([[[1.0]], [[2.0]], [[1.0]]])
    >>> Wx = np.log([[3.0, 1.0, 2.0, 3.0]])
    >>> Wh, b = np.zeros((1, 4)), np.zeros(4)
    >>> (h, c), cache = forward(x, h_prev, c_prev, Wx, Wh, b)
    >>> c.round(4).tolist(), h.round(4).tolist()
    ([[0.95]], [[0.5548]])

With dh = 0 and dc = 1, the gradient of c_{t-1} is f:

    >>> grads = backward((np.array([[0.0]]), np.array([[1.0]])), cache)
    >>> grads[2].round(4).tolist()
    [[0.5]]
"""

import numpy as np


def sigmoid(a):
    """Given: 1 / (1 + e^-a), written so that it cannot overflow."""
    return 0.5 * (1 + np.tanh(0.5 * a))


def forward(x, h_prev, c_prev, Wx, Wh, b):
    """One step; returns (h, c), cache. What the cache holds is up to you."""
    # <solution>
    H = h_prev.shape[1]
    a = x @ Wx + h_prev @ Wh + b  # (N, 4H)
    i = sigmoid(a[:, :H])  # (N, H), as all that follow
    f = sigmoid(a[:, H : 2 * H])
    g = np.tanh(a[:, 2 * H : 3 * H])
    o = sigmoid(a[:, 3 * H :])
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return (h, c), (x, h_prev, c_prev, Wx, Wh, i, f, g, o, c)
    # </solution>


def backward(dy, cache):
    """dx, dh_prev, dc_prev, dWx, dWh, db, each of the shape of its own."""
    dh, dc = dy  # (N, H) each
    # <solution>
    x, h_prev, c_prev, Wx, Wh, i, f, g, o, c = cache
    tanh_c = np.tanh(c)
    do = dh * tanh_c
    dc = dc + dh * o * (1 - tanh_c**2)  # c was used by h, and by what came after
    di, df, dg = dc * g, dc * c_prev, dc * i
    dc_prev = dc * f
    da_i, da_f, da_o = di * i * (1 - i), df * f * (1 - f), do * o * (1 - o)
    da_g = dg * (1 - g**2)
    da = np.concatenate([da_i, da_f, da_g, da_o], axis=1)  # (N, 4H)
    dx, dh_prev = da @ Wx.T, da @ Wh.T
    dWx, dWh, db = x.T @ da, h_prev.T @ da, da.sum(axis=0)
    return dx, dh_prev, dc_prev, dWx, dWh, db
    # </solution>
