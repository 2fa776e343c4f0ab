"""Maxout: the largest of several linear pieces, of which each output takes one."""

import numpy as np

STYLE = "class"
SIZES = {"N": 5, "D": 3, "P": 2, "M": 4}


def make_inputs(N=5, D=3, P=2, M=4, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(N, D)), "W": rng.normal(size=(P, D, M)), "b": rng.normal(size=(P, M))}


class Maxout:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        self.z = np.stack([x @ W + b for W, b in zip(self.W, self.b, strict=True)])
        self.winner = self.z.argmax(axis=0)
        return self.z.max(axis=0)

    def backward(self, dy):
        dW, db, dx = np.zeros_like(self.W), np.zeros_like(self.b), np.zeros_like(self.x)
        for p in range(len(self.W)):
            dz = dy * (self.winner == p)
            dW[p] = self.x.T @ dz
            db[p] = dz.sum(axis=0)
            dx += dz @ self.W[p].T
        return dx, dW, db


def forward(x, W, b):
    layer = Maxout(W, b)
    return layer.forward(x), layer


def backward(dy, layer):
    return layer.backward(dy)
