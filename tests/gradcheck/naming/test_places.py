"""Masks, maxima, rows that are looked up, windows that overlap."""

import numpy as np
import pytest

from ..operations import diagnosed, normal


def relu_layer(mask):
    def forward(x, W, V):
        z = x @ W
        h = np.maximum(z, 0)
        return h @ V, (x, W, V, z, h)

    def backward(dy, cache):
        x, W, V, z, h = cache
        dz = dy @ V.T * mask(z, dy @ V.T)
        return dz @ W.T, x.T @ dz, h.T @ dy

    return forward, backward, {"x": normal(4, 3), "W": normal(3, 6), "V": normal(6, 2)}


@pytest.mark.parametrize(
    ("mask", "name"),
    [
        (lambda z, dh: 1.0, "its mask is missing"),
        (lambda z, dh: z < 0, "masked by the wrong array"),
        (lambda z, dh: dh > 0, "masked by its own sign"),
    ],
)
def test_relu(mask, name):
    assert name in diagnosed(*relu_layer(mask))


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (lambda mask, p: 1 / (1 - p), "a dropout mask that is missing"),
        (lambda mask, p: mask, "a dropout scale"),
        (lambda mask, p: 1.0, "a dropout mask that is missing"),
    ],
)
def test_dropout(factor, name):
    def forward(x, mask, p):
        return np.tanh(x) * mask / (1 - p), (x, mask, p)

    def backward(dy, cache):
        x, mask, p = cache
        return (dy * factor(mask, p) * (1 - np.tanh(x) ** 2),)

    mask = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], bool)
    assert name in diagnosed(forward, backward, {"x": normal(3, 4), "mask": mask, "p": 0.3})


def test_the_place_of_a_maximum():
    def backward(dy, x):
        dx = np.zeros_like(x)
        dx[np.arange(len(x)), x.argmin(1)] = dy
        return (dx,)

    assert "the wrong place of a maximum" in diagnosed(lambda x: (x.max(1), x), backward, {"x": normal(4, 3)})


def test_rows_that_are_looked_up():
    def backward(dy, cache):
        tokens, E, W = cache
        dE = np.zeros_like(E)
        dE[tokens] += dy @ W.T
        return dE, E[tokens].T @ dy

    inputs = {"tokens": np.array([1, 4, 1, 0, 4]), "E": normal(6, 3), "W": normal(3, 2)}
    sentence = diagnosed(lambda tokens, E, W: (E[tokens] @ W, (tokens, E, W)), backward, inputs)
    assert "np.add.at is needed" in sentence


def test_windows_that_overlap():
    def forward(x, w):
        return np.stack([x[:, i : i + 3] @ w for i in range(x.shape[1] - 2)], axis=1), (x, w)

    def backward(dy, cache):
        x, w = cache
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for i in range(dy.shape[1]):
            dx[:, i : i + 3] = dy[:, i : i + 1] * w
            dw += dy[:, i] @ x[:, i : i + 3]
        return dx, dw

    assert "= for += where windows overlap" in diagnosed(forward, backward, {"x": normal(2, 7), "w": normal(3)})
