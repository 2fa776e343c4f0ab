"""Causal self-attention with projections for queries, keys and values."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 2, "T": 4, "D": 3, "d": 2}


def make_inputs(N=2, T=4, D=3, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, T, D)),
        "Wq": rng.normal(size=(D, d)),
        "Wk": rng.normal(size=(D, d)),
        "Wv": rng.normal(size=(D, d)),
    }


def forward(x, Wq, Wk, Wv):
    T = x.shape[1]
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    scale = q.shape[2] ** -0.5
    s = np.einsum("ntd,nsd->nts", q, k) * scale
    future = np.triu(np.ones((T, T), dtype=bool), k=1)
    s = np.where(future, -1e9, s)
    e = np.exp(s - s.max(axis=2, keepdims=True))
    w = e / e.sum(axis=2, keepdims=True)
    return w @ v, (x, Wq, Wk, Wv, q, k, v, w, future, scale)


def backward(dy, cache):
    x, Wq, Wk, Wv, q, k, v, w, future, scale = cache
    dw = np.einsum("ntd,nsd->nts", dy, v)
    dv = np.einsum("nts,ntd->nsd", w, dy)
    ds = w * (dw - (dw * w).sum(axis=2, keepdims=True))
    ds = np.where(future, 0, ds) * scale
    dq = np.einsum("nts,nsd->ntd", ds, k)
    dk = np.einsum("nts,ntd->nsd", ds, q)
    dWq = np.einsum("nti,ntd->id", x, dq)
    dWk = np.einsum("nti,ntd->id", x, dk)
    dWv = np.einsum("nti,ntd->id", x, dv)
    dx = dq @ Wq.T
    dx = dx + dk @ Wk.T
    dx = dx + dv @ Wv.T
    return dx, dWq, dWk, dWv
