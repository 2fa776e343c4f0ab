"""Softmax of each row, with its Jacobian written out."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 3, "K": 4}


def make_inputs(N=3, K=4, seed=0):
    return {"scores": np.random.default_rng(seed).normal(size=(N, K))}


def make_layer(temperature=0.5):
    def forward(scores):
        probs = []
        for row in scores:
            e = np.exp((row - row.max()) / temperature)
            probs.append(e / e.sum())
        return np.array(probs), np.array(probs)

    def backward(dprobs, probs):
        dscores = np.empty_like(probs)
        for n, p in enumerate(probs):
            jacobian = np.diag(p) - np.outer(p, p)
            dscores[n] = jacobian @ dprobs[n] / temperature
        return dscores

    return forward, backward


forward, backward = make_layer()
