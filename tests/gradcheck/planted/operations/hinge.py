"""Multi-class hinge loss of a linear classifier, with loops and an L2 penalty."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 5, "D": 4, "C": 3}


def make_inputs(N=5, D=4, C=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"W": rng.normal(size=(D, C)), "X": rng.normal(size=(N, D)), "y": rng.integers(0, C, size=N)}


def forward(W, X, y, *, reg=0.05):
    num_train, num_classes = X.shape[0], W.shape[1]
    loss = 0.0
    for i in range(num_train):
        scores = X[i].dot(W)
        for j in range(num_classes):
            if j != y[i]:
                loss += max(0, scores[j] - scores[y[i]] + 1)
    loss = loss / num_train + reg * np.sum(W * W)
    return loss, (W, X, y, reg)


def backward(dloss, cache):
    W, X, y, reg = cache
    dW, dX = np.zeros(W.shape), np.zeros(X.shape)
    num_train, num_classes = X.shape[0], W.shape[1]
    for i in range(num_train):
        scores = X[i].dot(W)
        for j in range(num_classes):
            if j == y[i]:
                continue
            if scores[j] - scores[y[i]] + 1 > 0:
                dW[:, j] += X[i]
                dW[:, y[i]] -= X[i]
                dX[i] += W[:, j] - W[:, y[i]]
    dW = dW / num_train + 2 * reg * W
    dX = dX / num_train
    return dloss * dW, dloss * dX
