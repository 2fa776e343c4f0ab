"""Batch normalisation, one step of the graph after the other."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 6, "D": 3}


def make_inputs(N=6, D=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": 2 * rng.normal(size=(N, D)) + 1, "gamma": rng.normal(size=D), "beta": rng.normal(size=D)}


def forward(x, gamma, beta, *, eps=1e-3):
    mu = x.mean(axis=0)
    xmu = x - mu
    var = (xmu**2).mean(axis=0)
    std = np.sqrt(var + eps)
    ivar = 1 / std
    xhat = xmu * ivar
    return gamma * xhat + beta, (gamma, xmu, std, ivar, xhat, var, eps)


def backward(dout, cache):
    gamma, xmu, std, ivar, xhat, var, eps = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    divar = (dxhat * xmu).sum(axis=0)
    dxmu = dxhat * ivar
    dstd = -divar / std**2
    dvar = 0.5 * dstd / np.sqrt(var + eps)
    dxmu += 2 * xmu * dvar / N
    dmu = -dxmu.sum(axis=0)
    dx = dxmu + dmu / N
    return dx, dgamma, dbeta
