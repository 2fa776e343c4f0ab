"""Additive attention: where to look, given what one has said so far.

Why: a decoder that describes a picture needs another part of it for each
word. It scores the parts, turns the scores into weights, and is given the
weighted mean. All of it has a derivative, so where to look can be learned.

There are L regions x_1 … x_L; whoever looks has a state h.

    e_l = v · tanh(x_l Wx + h Wh + b)       a score for each region
    α   = softmax(e)                        weights: positive, their sum is 1
    z   = Σ_l α_l x_l                       the context

Where mask is False there is no region (padding): its α is 0, and the α of the
others sum to 1. Every row of mask has at least one True.

forward(x, h, Wx, Wh, b, v, mask) -> (z, alpha), cache
    x      (N, L, D)   L regions for each of N pictures
    h      (N, H)      the states
    Wx     (D, A)      A numbers is what regions and states are compared in
    Wh     (H, A)
    b      (A,)
    v      (A,)
    mask   (N, L)      bool
    z      (N, D)
    alpha  (N, L)

backward(dy, cache) -> dx, dh, dWx, dWh, db, dv
    dy     (dz, dalpha), like (z, alpha): both are outputs, and others may use
           alpha as well (a penalty, for instance)
    dx is like x, dh like h, and so on. The mask has no gradient.

From float32 come float32 results and gradients.

softmax and its backward pass are given below.

A tiny example, one picture of three regions, D = H = A = 1. All weights are
1 and b is 0, so e_l = tanh(x_l + h). The third region is padding:

    x = 0, 2, 9;  h = −1;  mask = True, True, False
    e = tanh(−1), tanh(1) = −0.7616, 0.7616
    α = 1 / (1 + exp(1.5232)), …  = 0.179, 0.821, 0
    z = 0.179 · 0 + 0.821 · 2 = 1.642

    >>> x, h = np.array([[[0.0], [2], [9]]]), np.array([[-1.0]])
    >>> W, b, v = np.ones((1, 1)), np.zeros(1), np.ones(1)
    >>> mask = np.array([[True, True, False]])
    >>> (z, alpha), cache = forward(x, h, W, W, b, v, mask)
    >>> alpha.round(3).tolist(), z.round(3).tolist()
    ([[0.179, 0.821, 0.0]], [[1.642]])
    >>> dx = backward((np.ones((1, 1)), np.zeros((1, 3))), cache)[0]
    >>> dx.round(3).tolist()
    [[[0.056], [0.944], [0.0]]]
"""

import numpy as np


def softmax(e):
    """e (N, L) -> alpha (N, L); a score of -inf gets 0."""
    p = np.exp(e - e.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def softmax_backward(dalpha, alpha):
    """The gradient of e (N, L) from that of alpha = softmax(e)."""
    return alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))


def forward(x, h, Wx, Wh, b, v, mask):
    """x (N, L, D), h (N, H) -> (z (N, D), alpha (N, L)), cache."""
    # <solution>
    query = h @ Wh  # (N, A)
    s = np.tanh(x @ Wx + query[:, None] + b)  # (N, L, A)
    e = s @ v  # (N, L)
    alpha = softmax(np.where(mask, e, -np.inf))
    z = (alpha[:, :, None] * x).sum(axis=1)  # (N, D)
    return (z, alpha), (x, h, Wx, Wh, v, s, alpha)
    # </solution>


def backward(dy, cache):
    """dy = (dz (N, D), dalpha (N, L)) -> dx, dh, dWx, dWh, db, dv."""
    # <solution>
    dz, dalpha_out = dy
    x, h, Wx, Wh, v, s, alpha = cache
    dalpha = (x * dz[:, None]).sum(axis=2) + dalpha_out  # (N, L)
    dx = alpha[:, :, None] * dz[:, None]  # (N, L, D)
    de = softmax_backward(dalpha, alpha)  # 0 where masked
    dv = (de[:, :, None] * s).sum(axis=(0, 1))
    da = de[:, :, None] * v * (1 - s**2)  # (N, L, A)
    dx = dx + da @ Wx.T  # x was summed, and scored
    dWx = x.reshape(-1, x.shape[2]).T @ da.reshape(-1, da.shape[2])
    dquery = da.sum(axis=1)  # (N, A): every region met the same query
    dh = dquery @ Wh.T
    dWh = h.T @ dquery
    db = dquery.sum(axis=0)
    return dx, dh, dWx, dWh, db, dv
    # </solution>
