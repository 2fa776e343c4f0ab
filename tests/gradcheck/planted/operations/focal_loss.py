"""Focal loss of a linear classifier: easy examples count less."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 5, "D": 3}


def make_inputs(N=5, D=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, D)),
        "w": rng.normal(size=D),
        "b": rng.normal(size=()),
        "t": rng.integers(0, 2, size=N),
    }


def forward(x, w, b, t, gamma=2.0):
    z = x @ w + b
    p = 1 / (1 + np.exp(-z))
    pt = np.where(t == 1, p, 1 - p)
    loss = -np.mean((1 - pt) ** gamma * np.log(pt))
    return loss, (x, w, t, p, pt, gamma)


def backward(dloss, cache):
    x, w, t, p, pt, gamma = cache
    n = len(t)
    dpt = gamma * (1 - pt) ** (gamma - 1) * np.log(pt) - (1 - pt) ** gamma / pt
    dpt = dloss * dpt / n
    dp = np.where(t == 1, dpt, -dpt)
    dz = dp * p * (1 - p)
    dw = x.T @ dz
    db = np.sum(dz)
    dx = np.outer(dz, w)
    return dx, dw, db
