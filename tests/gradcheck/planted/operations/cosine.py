"""Cosine similarity of rows, with a little added under the roots."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 4, "D": 3}


def make_inputs(N=4, D=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"u": rng.normal(size=(N, D)), "v": rng.normal(size=(N, D))}


def forward(u, v, *, eps=1e-2):
    nu = np.sqrt((u * u).sum(1) + eps)
    nv = np.sqrt((v * v).sum(1) + eps)
    cos = (u * v).sum(1) / (nu * nv)
    return cos, (u, v, nu, nv, cos)


def backward(dcos, cache):
    u, v, nu, nv, cos = cache
    d = dcos[:, None]
    du = d * (v / (nu * nv)[:, None] - cos[:, None] * u / nu[:, None] ** 2)
    dv = d * (u / (nu * nv)[:, None] - cos[:, None] * v / nv[:, None] ** 2)
    return du, dv
