"""ReLU of a linear layer, then another linear layer."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 4, "D": 3, "H": 6}


def make_inputs(N=4, D=3, H=6, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, D)),
        "W1": rng.normal(size=(D, H)),
        "b1": rng.normal(size=H),
        "W2": rng.normal(size=(H, 2)),
    }


def make_layer():
    def forward(x, W1, b1, W2):
        z = x @ W1 + b1
        h = np.maximum(z, 0)
        return h @ W2, (x, W1, W2, z, h)

    def backward(dy, cache):
        x, W1, W2, z, h = cache
        dW2 = h.T @ dy
        dh = dy @ W2.T
        dz = dh.copy()
        dz[z <= 0] = 0
        dW1 = x.T @ dz
        db1 = dz.sum(axis=0)
        dx = dz @ W1.T
        return dx, dW1, db1, dW2

    return forward, backward


forward, backward = make_layer()
