"""Cross-entropy with smoothed targets."""

import numpy as np

STYLE = "class"
SIZES = {"N": 4, "C": 5}


def make_inputs(N=4, C=5, seed=0):
    rng = np.random.default_rng(seed)
    return {"scores": rng.normal(size=(N, C)), "y": rng.integers(0, C, size=N)}


class SmoothCE:
    def __init__(self, eps=0.1):
        self.eps = eps

    def forward(self, scores, y):
        N, C = scores.shape
        s = scores - scores.max(axis=1, keepdims=True)
        self.logp = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
        self.q = np.full((N, C), self.eps / C)
        self.q[np.arange(N), y] += 1 - self.eps
        return -(self.q * self.logp).sum() / N

    def backward(self, dout):
        N = self.logp.shape[0]
        probs = np.exp(self.logp)
        return dout * (probs - self.q) / N


layer = SmoothCE()


def forward(scores, y):
    return layer.forward(scores, y), None


def backward(dloss, cache):
    return (layer.backward(dloss),)
