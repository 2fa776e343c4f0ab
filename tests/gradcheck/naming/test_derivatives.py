"""Wrong local derivatives of tanh, σ, softmax and others are named by the function."""

import numpy as np
import pytest

from ..operations import diagnosed, normal


def layer(function, slope):
    """y = function(x W), with a slope in backward that takes what goes in and comes out."""

    def forward(x, W):
        z = x @ W
        return function(z), (x, W, z)

    def backward(dy, cache):
        x, W, z = cache
        dz = dy * slope(z, function(z))
        return dz @ W.T, x.T @ dz

    return forward, backward, {"x": normal(4, 3), "W": normal(3, 5)}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("slope", [lambda z, h: 1 - h, lambda z, h: 1 + 0 * h, lambda z, h: 1 - z**2])
def test_tanh(slope):
    assert "a wrong local derivative of tanh" in diagnosed(*layer(np.tanh, slope))


@pytest.mark.parametrize("slope", [lambda z, s: 1 - s, lambda z, s: s, lambda z, s: z * (1 - z)])
def test_sigmoid(slope):
    assert "a wrong local derivative of σ" in diagnosed(*layer(sigmoid, slope))


def test_a_slope_that_nobody_has_thought_of_is_placed_at_its_function():
    sentence = diagnosed(*layer(np.tanh, lambda z, h: 1.1 - 0.3 * h**4))
    assert "a wrong local derivative of tanh" in sentence


@pytest.mark.parametrize(
    ("total", "words"),
    [(lambda p, dp: p * dp, "only the diagonal"), (lambda p, dp: dp.sum(1, keepdims=True), "it is p (dp − Σ p dp)")],
)
def test_the_sum_of_softmax(total, words):
    """The sum is said to be missing only where there is none."""

    def forward(x, W):
        e = np.exp(x @ W)
        p = e / e.sum(1, keepdims=True)
        return p, (x, W, p)

    def backward(dp, cache):
        x, W, p = cache
        dz = p * (dp - total(p, dp))
        return dz @ W.T, x.T @ dz

    assert words in diagnosed(forward, backward, {"x": normal(4, 3), "W": normal(3, 5)})


def test_exp():
    assert "a wrong local derivative of exp" in diagnosed(*layer(np.exp, lambda z, y: z))


def test_softmax():
    def forward(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        p = e / e.sum(-1, keepdims=True)
        return p, p

    assert "derivative of softmax" in diagnosed(forward, lambda dy, p: (dy * p * (1 - p),), {"x": normal(4, 5)})
