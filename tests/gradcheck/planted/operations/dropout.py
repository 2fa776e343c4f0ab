"""Inverted dropout between two linear layers; the mask is given."""

import numpy as np

STYLE = "class"
SIZES = {"N": 4, "D": 5, "H": 6}


def make_inputs(N=4, D=5, H=6, seed=0):
    rng = np.random.default_rng(seed)
    keep = rng.random((N, H)) < 0.7
    keep[0, 0] = False
    return {
        "x": rng.normal(size=(N, D)),
        "keep": keep,
        "W1": rng.normal(size=(D, H)),
        "W2": rng.normal(size=(H, 3)),
    }


class DropoutNet:
    p = 0.3

    def __init__(self, W1, W2):
        self.params = {"W1": W1, "W2": W2}
        self.grads = {}

    def forward(self, x, keep):
        self.x = x
        self.keep = keep
        self.h = x @ self.params["W1"]
        self.dropped = self.h * keep / (1 - self.p)
        return self.dropped @ self.params["W2"]

    def backward(self, dout):
        self.grads["W2"] = self.dropped.T @ dout
        ddropped = dout @ self.params["W2"].T
        dh = ddropped * self.keep / (1 - self.p)
        self.grads["W1"] = self.x.T @ dh
        return dh @ self.params["W1"].T


def forward(x, keep, W1, W2):
    net = DropoutNet(W1, W2)
    return net.forward(x, keep), net


def backward(dout, net):
    dx = net.backward(dout)
    return dx, net.grads["W1"], net.grads["W2"]
