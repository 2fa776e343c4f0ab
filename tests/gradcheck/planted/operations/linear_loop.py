"""Fully connected layer with column vectors, one example at a time."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 5}


def make_inputs(N=5, seed=0):
    rng = np.random.default_rng(seed)
    return {"W": rng.normal(size=(3, 3)), "b": rng.normal(size=3), "xs": rng.normal(size=(N, 3))}


def forward(W, b, xs):
    ys = np.zeros((len(xs), W.shape[0]))
    for n in range(len(xs)):
        ys[n] = W @ xs[n] + b
    return ys, (W, b, xs)


def backward(dys, cache):
    W, b, xs = cache
    dW = np.zeros_like(W)
    db = np.zeros_like(b)
    dxs = np.zeros_like(xs)
    for n in range(len(xs)):
        dW += np.outer(dys[n], xs[n])
        db += dys[n]
        dxs[n] = W.T @ dys[n]
    return dW, db, dxs
