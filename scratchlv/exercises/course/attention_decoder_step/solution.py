"""One step of a decoder that looks: an LSTM with a third input, a deep output.

Why: an LSTM is told the word before and its own past. To describe a picture
it also needs z, what the attention saw. And the next word should depend on z
and on the word before directly, not only by what the LSTM made of them: that
is the deep output (Xu et al. 2015, Show, Attend and Tell).

    a         = word Ww + z Wz + h Wh + b         before the gates
    h', c'    = cell(a, c)                        the LSTM cell, given below
    logits    = (word + h' Lh + z Lz) Lo + bo     the deep output

h, c is the state before this step, h', c' the one after it. The next word has
the probabilities softmax(logits); that comes later.

forward(word, z, h, c, Ww, Wz, Wh, b, Lh, Lz, Lo, bo)
        -> (logits, h_new, c_new), cache
    word   (N, E)     the word before, embedded
    z      (N, D)     the context, from the attention
    h, c   (N, H)
    Ww     (E, 4H)    Wz (D, 4H)    Wh (H, 4H)    b (4H,)
    Lh     (H, E)     Lz (D, E)     Lo (E, V)     bo (V,)
    logits (N, V)     a score for each of V words
    h_new, c_new      (N, H)

backward(dy, cache) -> dword, dz, dh, dc, dWw, dWz, dWh, db, dLh, dLz, dLo, dbo
    dy     (dlogits, dh_new, dc_new): the last two come from the step after
    Each gradient is like its input.

From float32 come float32 results and gradients.

The four quarters of a are the gates i, f, g, o, in this order; `cell` and
`cell_backward` deal with them.

A tiny example with N = E = D = H = V = 1. All matrices are 1, so a is the same
for all gates; bias b is 0, bo is 0:

    word = 0.5, z = 1, h = −1.5, c = 2:    a = 0 for each gate
    i = f = o = σ(0) = 0.5, g = tanh(0) = 0
    c' = 0.5 · 2 + 0.5 · 0 = 1;  h' = 0.5 · tanh(1) = 0.3808
    logits = 0.5 + 0.3808 + 1 = 1.8808

    >>> word, z, h, c = (np.array([[a]]) for a in (0.5, 1.0, -1.5, 2.0))
    >>> W, L = np.ones((1, 4)), np.ones((1, 1))
    >>> inputs = word, z, h, c, W, W, W, np.zeros(4), L, L, L, np.zeros(1)
    >>> (logits, h_new, c_new), cache = forward(*inputs)
    >>> logits.round(4).tolist(), h_new.round(4).tolist(), c_new.tolist()
    ([[1.8808]], [[0.3808]], [[1.0]])
    >>> dy = np.ones((1, 1)), np.zeros((1, 1)), np.zeros((1, 1))
    >>> dword, dz, dh = backward(dy, cache)[:3]
    >>> dword.round(4).tolist(), dz.round(4).tolist(), dh.round(4).tolist()
    ([[1.4004]], [[1.4004]], [[0.4004]])

The word and z have 1 from the deep output and 0.4004 from the cell, h has only
the latter.
"""

import numpy as np


def sigmoid(a):
    return 0.5 * (1 + np.tanh(0.5 * a))


def cell(a, c):
    """a (N, 4H), c (N, H) -> the new h and c (N, H), and a cache."""
    H = c.shape[1]
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 3 * H :])
    g = np.tanh(a[:, 2 * H : 3 * H])
    c_new = f * c + i * g
    return o * np.tanh(c_new), c_new, (i, f, g, o, c, c_new)


def cell_backward(dh_new, dc_new, cell_cache):
    """The gradients of the cell's h and c (N, H) -> da (N, 4H), dc (N, H)."""
    i, f, g, o, c, c_new = cell_cache
    tanh_c = np.tanh(c_new)
    dc_new = dc_new + dh_new * o * (1 - tanh_c**2)
    di, df, dg, do = dc_new * g, dc_new * c, dc_new * i, dh_new * tanh_c
    da = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)
    return da, dc_new * f


def forward(word, z, h, c, Ww, Wz, Wh, b, Lh, Lz, Lo, bo):
    """One step -> (logits (N, V), h_new (N, H), c_new (N, H)), cache."""
    # <solution>
    a = word @ Ww + z @ Wz + h @ Wh + b  # (N, 4H)
    h_new, c_new, cell_cache = cell(a, c)
    r = word + h_new @ Lh + z @ Lz  # (N, E)
    logits = r @ Lo + bo  # (N, V)
    return (logits, h_new, c_new), (word, z, h, Ww, Wz, Wh, Lh, Lz, Lo, h_new, cell_cache, r)
    # </solution>


def backward(dy, cache):
    """dy = (dlogits, dh_new, dc_new) -> the gradients of the twelve inputs, in their order."""
    # <solution>
    dlogits, dh_new, dc_new = dy
    word, z, h, Ww, Wz, Wh, Lh, Lz, Lo, h_new, cell_cache, r = cache
    dLo, dbo = r.T @ dlogits, dlogits.sum(axis=0)
    dr = dlogits @ Lo.T  # (N, E)
    dLh, dLz = h_new.T @ dr, z.T @ dr
    dh_new = dh_new + dr @ Lh.T  # h_new goes to the next step, and to the output
    da, dc = cell_backward(dh_new, dc_new, cell_cache)
    dWw, dWz, dWh, db = word.T @ da, z.T @ da, h.T @ da, da.sum(axis=0)
    dword = dr + da @ Ww.T  # the word enters the output, and the cell
    dz = dr @ Lz.T + da @ Wz.T  # and so does z
    dh = da @ Wh.T
    return dword, dz, dh, dc, dWw, dWz, dWh, db, dLh, dLz, dLo, dbo
    # </solution>
