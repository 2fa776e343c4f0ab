"""Paths that are missing or counted a number of times, and states that are not handed on."""

import numpy as np
import pytest

from ..operations import diagnosed, normal


def residual(skip, branch):
    def forward(x, W, V):
        h = np.tanh(x @ W)
        return x + h @ V, (x, W, V, h)

    def backward(dy, cache):
        x, W, V, h = cache
        da = dy @ V.T * (1 - h**2)
        return skip * dy + branch * da @ W.T, x.T @ da, h.T @ dy

    return forward, backward, {"x": normal(4, 3), "W": normal(3, 5), "V": normal(5, 3)}


@pytest.mark.parametrize(
    ("skip", "branch", "name"),
    [
        (0, 1, "a path that is missing"),
        (1, 0, "a path that is missing"),
        (-1, 1, "a sign that is flipped"),
        (1, 2, "a term that is added twice"),
    ],
)
def test_of_a_residual_block(skip, branch, name):
    assert name in diagnosed(*residual(skip, branch))


def test_a_running_mean_that_is_not_handed_on_is_a_state():
    def forward(x, a):
        m, out = np.zeros(x.shape[1]), []
        for x_t in x:
            m = a * m + x_t
            out.append(m)
        return np.array(out), (x, a)

    def backward(dy, cache):
        x, a = cache
        out, _ = forward(x, a)
        before = np.concatenate([0 * out[:1], out[:-1]])
        return dy, (dy * before).sum(0)  # dm of the next step is dropped

    sentence = diagnosed(forward, backward, {"x": normal(5, 3), "a": normal(3)})
    assert "the gradient that a step hands back to the step before being dropped: that of m" in sentence
