"""One step of a GRU: a recurrent cell whose one state is kept or written anew.

    a = x Wx + b                     three parts of H columns: a_r a_z a_n
    m = h_{t-1} Wh                   three as well: m_r m_z m_n
    r = σ(a_r + m_r)                 the reset gate: what to read of h_{t-1}
    z = σ(a_z + m_z)                 the update gate: what to keep of it
    n = tanh(a_n + r ⊙ m_n)          the candidate: what would be written
    h_t = (1 − z) ⊙ n + z ⊙ h_{t-1}

⊙ is the product of number and number. As in PyTorch, whose order r, z, n this
is, r comes after the product with Wh. (Its second bias, inside of r, is left
out here.)

Why: an LSTM has a memory c beside its h. Here h is the memory: where z is
near 1, it goes on as it is, and so does its gradient.

    N sequences, D inputs, H units
    x (N, D)    h_prev, h (N, H)
    Wx (D, 3H)  Wh (H, 3H)  b (3H,)

backward gets dh, what comes back to h_t from all that used it. It and the
inputs must stay as they are.

A tiny example, N = D = H = 1, which one can follow with a pencil: as
σ(log 3) = 3/4, σ(0) = 1/2 and tanh(log 2) = 3/5, the gates are r = 0.5 and
z = 0.75, and n = 0.6, since a_n is 0 and m_n = 2 log 2 is halved by r. So
h = 0.25 · 0.6 + 0.75 · 1 = 0.9.

    >>> x, h_prev = np.array([[1.0]]), np.array([[1.0]])
    >>> Wx = np.log([[1.0, 3.0, 1.0]])
    >>> Wh, b = np.log([[1.0, 1.0, 4.0]]), np.zeros(3)
    >>> h, cache = forward(x, h_prev, Wx, Wh, b)
    >>> h.round(4).tolist()
    [[0.9]]

n has the weight 1 − z = 0.25 in h, and tanh there the slope 1 − 0.6² = 0.64:
with dh = 1 the gradient of a_n, and of the last number of b, is 0.16.

    >>> grads = backward(np.array([[1.0]]), cache)
    >>> grads[4][2:].round(4).tolist()
    [0.16]
"""

import numpy as np


def sigmoid(a):
    """Given: 1 / (1 + e^-a), written so that it cannot overflow."""
    return 0.5 * (1 + np.tanh(0.5 * a))


def forward(x, h_prev, Wx, Wh, b):
    """One step; returns h, cache. What the cache holds is up to you."""
    # <solution>
    H = h_prev.shape[1]
    a, m = x @ Wx + b, h_prev @ Wh  # (N, 3H)
    r = sigmoid(a[:, :H] + m[:, :H])  # (N, H), as all that follow
    z = sigmoid(a[:, H : 2 * H] + m[:, H : 2 * H])
    m_n = m[:, 2 * H :]
    n = np.tanh(a[:, 2 * H :] + r * m_n)
    h = (1 - z) * n + z * h_prev
    return h, (x, h_prev, Wx, Wh, r, z, m_n, n)
    # </solution>


def backward(dh, cache):
    """dx, dh_prev, dWx, dWh, db, each of the shape of its own."""
    # <solution>
    x, h_prev, Wx, Wh, r, z, m_n, n = cache
    dn, dz = dh * (1 - z), dh * (h_prev - n)
    da_n = dn * (1 - n**2)
    dr, dm_n = da_n * m_n, da_n * r
    da_r, da_z = dr * r * (1 - r), dz * z * (1 - z)
    da = np.concatenate([da_r, da_z, da_n], axis=1)  # (N, 3H)
    dm = np.concatenate([da_r, da_z, dm_n], axis=1)
    dx, dh_prev = da @ Wx.T, dm @ Wh.T + dh * z
    dWx, dWh, db = x.T @ da, h_prev.T @ dm, da.sum(axis=0)
    return dx, dh_prev, dWx, dWh, db
    # </solution>
