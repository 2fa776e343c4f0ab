"""A gradient is the sum over the uses of an input, and over the places of the output: which of them are there."""

import numpy as np
import pytest

from ..operations import diagnosed, normal, rnn_forward, rnn_inputs


def loop_backward(add, upstream=lambda dy: dy):
    """Of a recurrent network; ``add(total, part, t)`` is what happens to dWx at step t."""

    def backward(dy, cache):
        x, h, Wx, Wh = cache
        dy = upstream(dy)
        dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(len(Wh))
        dh = np.zeros_like(h[0])
        for t in reversed(range(len(x))):
            da = (dh + dy[t]) * (1 - h[t + 1] ** 2)
            dx[t], dh = da @ Wx.T, da @ Wh.T
            dWx = add(dWx, x[t].T @ da, t)
            dWh, db = dWh + h[t].T @ da, db + da.sum(0)
        return dx, dh, dWx, dWh, db

    return backward


@pytest.mark.parametrize(
    ("add", "name"),
    [
        (lambda total, part, t: part, "= for += over time in dWx"),
        (lambda total, part, t: total + part * (t > 0), "a time step that is dropped"),
        (lambda total, part, t: total + part * (1 + (t == 0)), "a time step that is counted twice"),
    ],
)
def test_rounds_of_a_loop_over_time(add, name):
    sentence = diagnosed(rnn_forward, loop_backward(add), rnn_inputs())
    assert sentence.startswith("dWx ")
    assert name in sentence


def test_an_output_gradient_that_is_off_by_one():
    backward = loop_backward(lambda total, part, t: total + part, lambda dy: np.roll(dy, 1, axis=0))
    assert "off by one in time" in diagnosed(rnn_forward, backward, rnn_inputs())


def test_a_second_use_that_is_missing():
    def forward(x, E):
        return np.tanh(x @ E) @ E.T, (x, E)

    def backward(dy, cache):
        x, E = cache
        h = np.tanh(x @ E)
        da = dy @ E * (1 - h**2)
        return da @ E.T, x.T @ da

    sentence = diagnosed(forward, backward, {"x": normal(4, 3), "E": normal(3, 5)})
    assert "a path that is missing: a use of E" in sentence
