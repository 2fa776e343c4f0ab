"""Two-layer network of layer objects, with a mean squared error."""

import numpy as np

STYLE = "class"
SIZES = {"N": 5, "D": 3, "H": 7, "K": 2}


def make_inputs(N=5, D=3, H=7, K=2, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "X": rng.normal(size=(N, D)),
        "W1": rng.normal(size=(D, H)),
        "b1": rng.normal(size=H),
        "W2": rng.normal(size=(H, K)),
        "b2": rng.normal(size=K),
        "target": rng.normal(size=(N, K)),
    }


class Linear:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW = self.x.T @ dy
        self.db = dy.sum(axis=0)
        return dy @ self.W.T


class ReLU:
    def forward(self, x):
        self.x = x
        return np.maximum(0, x)

    def backward(self, dy):
        return dy * (self.x > 0)


class MeanSquaredError:
    def forward(self, y, target):
        self.diff = y - target
        return 0.5 * np.sum(self.diff**2) / len(y)

    def backward(self, dloss):
        return dloss * self.diff / len(self.diff)


class Network:
    def __init__(self, W1, b1, W2, b2):
        self.first, self.relu, self.second = Linear(W1, b1), ReLU(), Linear(W2, b2)
        self.loss = MeanSquaredError()

    def forward(self, X, target):
        h = self.relu.forward(self.first.forward(X))
        return self.loss.forward(self.second.forward(h), target)

    def backward(self, dloss):
        dy = self.loss.backward(dloss)
        dh = self.relu.backward(self.second.backward(dy))
        return self.first.backward(dh), -dy


def forward(X, W1, b1, W2, b2, target):
    net = Network(W1, b1, W2, b2)
    return net.forward(X, target), net


def backward(dloss, net):
    dX, dtarget = net.backward(dloss)
    return dX, net.first.dW, net.first.db, net.second.dW, net.second.db, dtarget
