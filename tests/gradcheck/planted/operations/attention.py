"""Scaled dot product attention of all queries to all keys."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 2, "T": 3, "S": 4, "d": 5}


def make_inputs(N=2, T=3, S=4, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return {"Q": rng.normal(size=(N, T, d)), "K": rng.normal(size=(N, S, d)), "V": rng.normal(size=(N, S, 3))}


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def forward(Q, K, V):
    d = Q.shape[-1]
    scores = Q @ K.transpose(0, 2, 1) / np.sqrt(d)
    A = softmax(scores)
    return A @ V, (Q, K, V, A)


def backward(dout, cache):
    Q, K, V, A = cache
    d = Q.shape[-1]
    dV = A.transpose(0, 2, 1) @ dout
    dA = dout @ V.transpose(0, 2, 1)
    dscores = A * (dA - np.sum(dA * A, axis=-1, keepdims=True))
    dscores = dscores / np.sqrt(d)
    dQ = dscores @ K
    dK = dscores.transpose(0, 2, 1) @ Q
    return dQ, dK, dV
