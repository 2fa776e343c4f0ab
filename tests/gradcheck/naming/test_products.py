"""Products with the wrong array, or with a matrix that is not transposed."""

import numpy as np
import pytest

from ..operations import diagnosed, normal


def two_layers(bug):
    def forward(x, W, V):
        h = np.tanh(x @ W)
        return h @ V, (x, W, V, h)

    def backward(dy, cache):
        x, W, V, h = cache
        dh = dy @ (V if bug == "V" else V.T)
        da = dh * (1 - h**2)
        dV = (x if bug == "array" else h).T @ dy
        return da @ W.T, x.T @ da, dV

    return forward, backward, {"x": normal(5, 3), "W": normal(3, 3), "V": normal(3, 3, seed=1)}


@pytest.mark.parametrize(("bug", "name"), [("V", "W used for Wᵀ"), ("array", "a product with the wrong array")])
def test_of_two_layers(bug, name):
    assert name in diagnosed(*two_layers(bug))


def test_a_factor_that_is_missing():
    def forward(x, gate, W):
        return (x * gate) @ W, (x, gate, W)

    def backward(dy, cache):
        x, gate, W = cache
        d = dy @ W.T
        return d, d * x, (x * gate).T @ dy

    inputs = {"x": normal(4, 3), "gate": normal(4, 3, seed=1), "W": normal(3, 2)}
    sentence = diagnosed(forward, backward, inputs)
    assert "a factor that is missing in a product: gate" in sentence
