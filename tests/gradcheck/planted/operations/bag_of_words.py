"""Mean of the embeddings of a sentence's words, then a linear classifier."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 3, "T": 5, "D": 4}


def make_inputs(N=3, T=5, V=7, D=4, seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, V, size=(N, T))
    tokens[0, -1] = tokens[0, 0]
    lengths = rng.integers(1, T + 1, size=N)
    lengths[0] = T
    return {
        "tokens": tokens,
        "lengths": lengths,
        "E": rng.normal(size=(V, D)),
        "W": rng.normal(size=(D, 3)),
        "b": rng.normal(size=3),
    }


def forward(tokens, lengths, E, W, b):
    means = np.zeros((len(tokens), E.shape[1]))
    for n, length in enumerate(lengths):
        for word in tokens[n, :length]:
            means[n] += E[word]
        means[n] /= length
    return means @ W + b, (tokens, lengths, E, W, means)


def backward(dy, cache):
    tokens, lengths, E, W, means = cache
    dE = np.zeros_like(E)
    dmeans = dy @ W.T
    for n, length in enumerate(lengths):
        for word in tokens[n, :length]:
            dE[word] += dmeans[n] / length
    return dE, means.T @ dy, dy.sum(axis=0)
