"""Two sigmoid layers, as objects that keep what backward needs."""

import numpy as np

STYLE = "class"
SIZES = {"N": 5, "D": 4, "H": 3}


def make_inputs(N=5, D=4, H=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, D)),
        "W1": rng.normal(size=(D, H)),
        "b1": rng.normal(size=(1, H)),
        "W2": rng.normal(size=(H, 2)),
        "b2": rng.normal(size=(1, 2)),
    }


class SigmoidLayer:
    def __init__(self, W, b):
        self.W = W
        self.b = b

    def forward(self, x):
        self.x = x
        self.a = 1.0 / (1.0 + np.exp(-(np.dot(x, self.W) + self.b)))
        return self.a

    def backward(self, da):
        dz = da * self.a * (1 - self.a)
        self.dW = np.dot(self.x.T, dz)
        self.db = np.sum(dz, axis=0, keepdims=True)
        return np.dot(dz, self.W.T)


def forward(x, W1, b1, W2, b2):
    layers = [SigmoidLayer(W1, b1), SigmoidLayer(W2, b2)]
    for layer in layers:
        x = layer.forward(x)
    return x, layers


def backward(dy, layers):
    grads = []
    for layer in reversed(layers):
        dy = layer.backward(dy)
        grads = [layer.dW, layer.db] + grads
    return [dy] + grads
