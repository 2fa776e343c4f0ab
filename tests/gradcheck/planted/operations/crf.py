"""A chain of tags: log partition minus the score of the true ones."""

import numpy as np

STYLE = "functions"
SIZES = {"T": 4, "K": 3}


def make_inputs(T=4, K=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"emit": rng.normal(size=(T, K)), "trans": rng.normal(size=(K, K)), "tags": rng.integers(0, K, size=T)}


def forward(emit, trans, tags):
    T, K = emit.shape
    alphas = [emit[0]]
    for t in range(1, T):
        s = alphas[-1][:, None] + trans
        m = s.max(0)
        alphas.append(m + np.log(np.exp(s - m).sum(0)) + emit[t])
    last = alphas[-1]
    logZ = last.max() + np.log(np.exp(last - last.max()).sum())
    gold = emit[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
    return logZ - gold, (emit, trans, tags, alphas, logZ)


def backward(dout, cache):
    emit, trans, tags, alphas, logZ = cache
    T, K = emit.shape
    demit = np.zeros_like(emit)
    dtrans = np.zeros_like(trans)
    dalpha = np.exp(alphas[-1] - logZ)
    for t in range(T - 1, 0, -1):
        demit[t] += dalpha
        s = alphas[t - 1][:, None] + trans
        p = np.exp(s - s.max(0))
        p /= p.sum(0)
        ds = p * dalpha
        dtrans += ds
        dalpha = ds.sum(1)
    demit[0] += dalpha
    demit[np.arange(T), tags] -= 1
    np.add.at(dtrans, (tags[:-1], tags[1:]), -1)
    return demit * dout, dtrans * dout
