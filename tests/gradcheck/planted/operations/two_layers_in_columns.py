"""Two-layer network for yes or no, with examples in columns: ReLU, sigmoid, mean cross-entropy; 1/m is in dW and db."""

import numpy as np

STYLE = "functions"
SIZES = {"m": 5, "n_x": 3, "n_h": 4}


def make_inputs(m=5, n_x=3, n_h=4, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "W1": rng.normal(size=(n_h, n_x)),
        "b1": rng.normal(size=(n_h, 1)),
        "W2": rng.normal(size=(1, n_h)),
        "b2": rng.normal(size=(1, 1)),
        "X": rng.normal(size=(n_x, m)),
        "Y": rng.integers(0, 2, size=(1, m)),
    }


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def sigmoid_backward(dA, A):
    return dA * A * (1 - A)


def relu_backward(dA, Z):
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ


def linear_backward(dZ, A_prev, W):
    m = A_prev.shape[1]
    dW = np.dot(dZ, A_prev.T) / m
    db = np.sum(dZ, axis=1, keepdims=True) / m
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


def forward(W1, b1, W2, b2, X, Y):
    Z1 = np.dot(W1, X) + b1
    A1 = np.maximum(0, Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = sigmoid(Z2)
    cost = -np.mean(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))
    return cost, {"Z1": Z1, "A1": A1, "A2": A2, "W1": W1, "W2": W2, "X": X, "Y": Y}


def backward(dcost, cache):
    A2, Y = cache["A2"], cache["Y"]
    dA2 = -dcost * (Y / A2 - (1 - Y) / (1 - A2))
    dZ2 = sigmoid_backward(dA2, A2)
    dA1, dW2, db2 = linear_backward(dZ2, cache["A1"], cache["W2"])
    dZ1 = relu_backward(dA1, cache["Z1"])
    dX, dW1, db1 = linear_backward(dZ1, cache["X"], cache["W1"])
    return dW1, db1, dW2, db2, dX / Y.shape[1]
