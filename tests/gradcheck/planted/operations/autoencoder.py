"""Autoencoder whose decoder uses the encoder's matrix, transposed; mean squared reconstruction error."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 5, "D": 4, "H": 3}


def make_inputs(N=5, D=4, H=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, D)),
        "W": rng.normal(size=(D, H)),
        "b": rng.normal(size=H),
        "c": rng.normal(size=D),
    }


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(x, W, b, c):
    h = sigmoid(x @ W + b)
    out = h @ W.T + c
    loss = 0.5 * np.sum((out - x) ** 2) / x.shape[0]
    return loss, (x, W, h, out)


def backward(dloss, cache):
    x, W, h, out = cache
    dout = dloss * (out - x) / x.shape[0]
    dc = dout.sum(axis=0)
    dW_decoder = dout.T @ h
    dh = dout @ W
    dz = dh * h * (1 - h)
    dW_encoder = x.T @ dz
    db = dz.sum(axis=0)
    dW = dW_encoder + dW_decoder
    dx = dz @ W.T - dout
    return dx, dW, db, dc
