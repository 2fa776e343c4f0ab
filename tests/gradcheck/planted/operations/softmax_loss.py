"""Linear classifier: softmax, cross-entropy averaged over the batch, L2 penalty."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 6, "D": 4, "C": 3}


def make_inputs(N=6, D=4, C=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "W": rng.normal(size=(D, C)),
        "b": rng.normal(size=C),
        "X": rng.normal(size=(N, D)),
        "y": rng.integers(0, C, size=N),
    }


def forward(W, b, X, y, *, reg=0.1):
    scores = X.dot(W) + b
    scores -= np.max(scores, axis=1, keepdims=True)
    probs = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)
    num_train = X.shape[0]
    loss = -np.sum(np.log(probs[np.arange(num_train), y])) / num_train
    loss += reg * np.sum(W * W)
    return loss, (W, X, y, probs, reg)


def backward(dloss, cache):
    W, X, y, probs, reg = cache
    num_train = X.shape[0]
    dscores = probs.copy()
    dscores[np.arange(num_train), y] -= 1
    dscores /= num_train
    dscores *= dloss
    dW = X.T.dot(dscores)
    dW += dloss * 2 * reg * W
    db = dscores.sum(axis=0)
    dX = dscores.dot(W.T)
    return dW, db, dX
