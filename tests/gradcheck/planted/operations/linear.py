"""Fully connected layer, vectorised."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 4, "D": 3, "M": 2}


def make_inputs(N=4, D=3, M=2, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(N, D)), "W": rng.normal(size=(D, M)), "b": rng.normal(size=M)}


def forward(x, W, b):
    out = x.dot(W) + b
    cache = (x, W, b)
    return out, cache


def backward(dout, cache):
    x, W, b = cache
    dx = dout.dot(W.T)
    dW = x.T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dW, db
