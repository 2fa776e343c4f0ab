"""Log-softmax of each row."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 4, "K": 3}


def make_inputs(N=4, K=3, seed=0):
    return {"x": np.random.default_rng(seed).normal(size=(N, K))}


def log_softmax():
    def forward(x):
        m = x.max(-1, keepdims=True)
        y = x - m - np.log(np.exp(x - m).sum(-1, keepdims=True))
        return y, y

    def backward(dy, y):
        return dy - np.exp(y) * dy.sum(-1, keepdims=True)

    return forward, backward


forward, backward = log_softmax()
