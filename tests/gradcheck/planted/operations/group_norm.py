"""Group normalisation."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 2, "C": 4, "L": 5}


def make_inputs(N=2, C=4, L=5, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(N, C, L)), "gamma": rng.normal(size=(1, C, 1)), "beta": rng.normal(size=(1, C, 1))}


def forward(x, gamma, beta, G=2, eps=1e-5):
    N, C, L = x.shape
    xg = x.reshape(N, G, -1)
    mu = xg.mean(axis=2, keepdims=True)
    var = xg.var(axis=2, keepdims=True)
    istd = 1 / np.sqrt(var + eps)
    xhat = ((xg - mu) * istd).reshape(N, C, L)
    return gamma * xhat + beta, (xhat, istd, gamma, G)


def backward(dout, cache):
    xhat, istd, gamma, G = cache
    N, C, L = dout.shape
    dbeta = dout.sum(axis=(0, 2), keepdims=True)
    dgamma = (dout * xhat).sum(axis=(0, 2), keepdims=True)
    dxhat = (dout * gamma).reshape(N, G, -1)
    xh = xhat.reshape(N, G, -1)
    m = xh.shape[2]
    dx = istd / m * (m * dxhat - dxhat.sum(2, keepdims=True) - xh * (dxhat * xh).sum(2, keepdims=True))
    return dx.reshape(N, C, L), dgamma, dbeta
