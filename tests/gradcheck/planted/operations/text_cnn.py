"""Convolution over words, ReLU, and the maximum over time."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 2, "T": 6, "D": 3, "F": 4}


def make_inputs(N=2, T=6, D=3, F=4, width=2, seed=0):
    rng = np.random.default_rng(seed)
    T = max(T, width)
    return {"x": rng.normal(size=(N, T, D)), "W": rng.normal(size=(width, D, F)), "b": rng.normal(size=F)}


def text_cnn():
    def forward(x, W, b):
        width = len(W)
        steps = x.shape[1] - width + 1
        z = np.zeros((len(x), steps, W.shape[2]))
        for k in range(width):
            z += x[:, k : k + steps] @ W[k]
        h = np.maximum(z + b, 0)
        best = h.argmax(axis=1)
        pooled = np.take_along_axis(h, best[:, None, :], axis=1)[:, 0]
        return pooled, (x, W, h, best)

    def backward(dpooled, cache):
        x, W, h, best = cache
        steps = h.shape[1]
        dh = np.zeros_like(h)
        np.put_along_axis(dh, best[:, None, :], dpooled[:, None, :], axis=1)
        dz = dh * (h > 0)
        db = dz.sum(axis=(0, 1))
        dx, dW = np.zeros_like(x), np.zeros_like(W)
        for k in range(len(W)):
            dW[k] = np.einsum("ntd,ntf->df", x[:, k : k + steps], dz)
            dx[:, k : k + steps] += dz @ W[k].T
        return dx, dW, db

    return forward, backward


forward, backward = text_cnn()
