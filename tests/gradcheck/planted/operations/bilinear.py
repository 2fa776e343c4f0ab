"""Bilinear form: y[n, k] = left[n] · W[k] · right[n]."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 4, "D": 3, "K": 2}


def make_inputs(N=4, D=3, K=2, seed=0):
    rng = np.random.default_rng(seed)
    return {"left": rng.normal(size=(N, D)), "right": rng.normal(size=(N, D)), "W": rng.normal(size=(K, D, D))}


def forward(left, right, W):
    y = np.zeros((len(left), len(W)))
    for n in range(len(left)):
        for k in range(len(W)):
            y[n, k] = left[n] @ W[k] @ right[n]
    return y, (left, right, W)


def backward(dy, cache):
    left, right, W = cache
    dleft, dright, dW = np.zeros_like(left), np.zeros_like(right), np.zeros_like(W)
    for n in range(len(left)):
        for k in range(len(W)):
            dleft[n] += dy[n, k] * (W[k] @ right[n])
            dright[n] += dy[n, k] * (W[k].T @ left[n])
            dW[k] += dy[n, k] * np.outer(left[n], right[n])
    return dleft, dright, dW
