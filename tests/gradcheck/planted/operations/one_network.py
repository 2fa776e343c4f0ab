"""One network object for all calls: it keeps what its last forward pass left, and there is no other cache."""

import numpy as np

STYLE = "class"
SIZES = {"N": 4, "D": 3, "H": 5, "K": 2}


def make_inputs(N=4, D=3, H=5, K=2, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, D)),
        "W1": rng.normal(size=(D, H)),
        "b1": rng.normal(size=H),
        "W2": rng.normal(size=(H, K)),
        "b2": rng.normal(size=K),
    }


class Network:
    def forward(self, x, W1, b1, W2, b2):
        self.x, self.W1, self.W2 = x, W1, W2
        self.h = np.tanh(x @ W1 + b1)
        self.p = 1 / (1 + np.exp(-(self.h @ W2 + b2)))
        return self.p

    def backward(self, dp):
        ds = dp * self.p * (1 - self.p)
        self.dW2 = self.h.T @ ds
        self.db2 = ds.sum(axis=0)
        dz = (ds @ self.W2.T) * (1 - self.h**2)
        self.dW1 = self.x.T @ dz
        self.db1 = dz.sum(axis=0)
        self.dx = dz @ self.W1.T


network = Network()


def forward(x, W1, b1, W2, b2):
    return network.forward(x, W1, b1, W2, b2), None


def backward(dp, cache):
    network.backward(dp)
    return network.dx, network.dW1, network.db1, network.dW2, network.db2
