"""Mean squared error over all elements."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 4, "K": 3}


def make_inputs(N=4, K=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"prediction": rng.normal(size=(N, K)), "target": rng.normal(size=(N, K))}


def forward(prediction, target):
    error = prediction - target
    return np.mean(error**2), error


def backward(dloss, error):
    derror = dloss * 2 * error / error.size
    return derror, -derror
