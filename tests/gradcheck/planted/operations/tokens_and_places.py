"""Embeddings of tokens, scaled, and of their places."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 3, "T": 4, "V": 6, "D": 2}


def make_inputs(N=3, T=4, V=6, D=2, seed=0):
    rng = np.random.default_rng(seed)
    return {"tok": rng.normal(size=(V, D)), "pos": rng.normal(size=(T, D)), "ids": rng.integers(0, V, size=(N, T))}


def forward(tok, pos, ids, pad=0):
    e = tok[ids] * np.sqrt(tok.shape[1]) + pos[: ids.shape[1]]
    keep = (ids != pad)[..., None]
    return e * keep, (tok.shape, pos.shape, ids, keep)


def backward(dy, cache):
    tshape, pshape, ids, keep = cache
    d = dy * keep
    dtok = np.zeros(tshape)
    np.add.at(dtok, ids, d * np.sqrt(tshape[1]))
    dpos = np.zeros(pshape)
    dpos[: ids.shape[1]] = d.sum(0)
    return dtok, dpos
