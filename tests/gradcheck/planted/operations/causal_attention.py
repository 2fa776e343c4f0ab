"""Causal attention, step by step."""

import numpy as np

STYLE = "functions"
SIZES = {"T": 5, "D": 3}


def make_inputs(T=5, D=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"Q": rng.normal(size=(T, D)), "K": rng.normal(size=(T, D)), "V": rng.normal(size=(T, D))}


def forward(Q, K, V):
    T, D = Q.shape
    out = np.zeros_like(V)
    A = np.zeros((T, T))
    for t in range(T):
        s = K[: t + 1] @ Q[t] / np.sqrt(D)
        e = np.exp(s - s.max())
        A[t, : t + 1] = e / e.sum()
        out[t] = A[t, : t + 1] @ V[: t + 1]
    return out, (Q, K, V, A)


def backward(dout, cache):
    Q, K, V, A = cache
    T, D = Q.shape
    dQ, dK, dV = np.zeros_like(Q), np.zeros_like(K), np.zeros_like(V)
    for t in range(T):
        a = A[t, : t + 1]
        da = V[: t + 1] @ dout[t]
        dV[: t + 1] += np.outer(a, dout[t])
        ds = a * (da - a @ da) / np.sqrt(D)
        dQ[t] = ds @ K[: t + 1]
        dK[: t + 1] += np.outer(ds, Q[t])
    return dQ, dK, dV
