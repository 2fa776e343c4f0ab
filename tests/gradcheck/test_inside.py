"""The first gradient of an intermediate that is wrong."""

import numpy as np
import pytest

from scratchlv.gradcheck import check
from scratchlv.gradcheck.inside import code_of

from .operations import normal, rnn_forward, rnn_inputs


def forward(x, W1, W2):
    z = x @ W1
    a = np.tanh(z)
    y = a @ W2
    return y, (x, a, W1, W2)


def backward_of(bug):
    def backward(dy, cache):
        x, a, W1, W2 = cache
        da = dy @ W2.T
        if bug == "scaled":
            da = da * W2.sum()
        dz = da * (1 - a) if bug == "tanh" else da * (1 - a**2)
        return dz @ W1.T, x.T @ dz, a.T @ dy

    return backward


INPUTS = {"x": normal(5, 3), "W1": normal(3, 4), "W2": normal(4, 2)}


def first_wrong(backward, forward=forward, inputs=INPUTS, **more):
    (sentence,) = [s for s in check(forward, backward, inputs, repair=False, **more).diagnosis if "inside" in s]
    return sentence


def test_the_line_and_what_is_right_above_it():
    sentence = first_wrong(backward_of("tanh"))
    assert "test_inside.py, line 2" in sentence
    assert "`dz = da * (1 - a)" in sentence
    assert sentence.endswith("the first wrong gradient inside is dz; da before it is right")


def test_a_buffer_that_is_filled_later_is_no_intermediate():
    def pooled(x):
        y = np.zeros(len(x))
        for n, row in enumerate(x):
            y[n] = row.max()
        return y, x

    def backward(dy, x):
        dx = (x == x.max(1, keepdims=True)) * dy[:, None]
        return -dx

    report = check(pooled, backward, {"x": normal(5, 3)}, repair=False)
    assert not any("inside" in sentence for sentence in report.diagnosis)


def test_the_earliest_of_several():
    assert "inside is da" in first_wrong(backward_of("scaled"))


def in_other_names(dy, cache):
    x, a, W1, W2 = cache
    above = dy @ W2.T
    below = above * (1 - a)
    return below @ W1.T, x.T @ below, a.T @ dy, above, below


def test_gradients_of_intermediates_may_be_returned():
    assert "the first wrong gradient inside is dz; da before it is right" in first_wrong(
        in_other_names, intermediates=["a", "z"]
    )
    report = check(forward, backward_of("tanh"), INPUTS, intermediates=["z", "a", "y", "W1"], repair=False)
    assert "backward should return dz, da, dy, dW1 after the gradients of the inputs" in report.problems[0]


def yields(dy, cache):
    x, a, W1, W2 = cache
    above = dy @ W2.T
    yield "da", above
    below = above * (1 - a)
    yield "dz", below
    return below @ W1.T, x.T @ below, a.T @ dy


def yields_all(dy, cache):
    x, a, W1, W2 = cache
    da = dy @ W2.T
    yield "da", da
    dz = da * (1 - a**2)
    yield "dz", dz
    yield "dx", dz @ W1.T
    yield "dW1", x.T @ dz
    yield "dW2", a.T @ dy


def test_backward_may_be_a_generator():
    sentence = first_wrong(yields)
    assert '`yield "dz", below`' in sentence
    assert "the first wrong gradient inside is dz; da before it is right" in sentence
    assert check(forward, yields_all, INPUTS).ok

    def wrong_pairs(dy, cache):
        yield dy

    assert "should yield pairs" in check(forward, wrong_pairs, INPUTS).problems[0]


def rnn_backward(dy, cache):
    x, hs, Wx, Wh = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(len(Wh))
    dh_next = np.zeros_like(hs[0])
    for t in reversed(range(len(x))):
        dh = dy[t] + dh_next
        da = dh * (1 - hs[t + 1] ** 2)
        dx[t], dWx, dWh, db = da @ Wx.T, dWx + x[t].T @ da, dWh + hs[t].T @ da, db + da.sum(0)
        dh_next = da @ Wh
    return dx, dh_next, dWx, dWh, db


def rnn(x, h0, Wx, Wh, b):
    h, hs = h0, [h0]
    for x_t in x:
        a = x_t @ Wx + h @ Wh + b
        h = np.tanh(a)
        hs.append(h)
    return np.array(hs[1:]), (x, hs, Wx, Wh)


def test_in_a_loop_the_round_is_told():
    """W for Wᵀ shows only where a gradient has come back through it."""
    sentence = first_wrong(rnn_backward, rnn, rnn_inputs())
    assert (
        "the first wrong gradient inside is dh in round 2 of 4 of its loop; dh, da before it are right"
        in sentence.replace("; da before it is right", "; dh, da before it are right")
    )


def test_a_name_that_stands_for_something_else_is_not_accused():
    """dh is not the gradient of forward's h here, and what is made of it is right."""

    def other_names(x, W):
        h = x @ W
        return np.tanh(h), (x, W, np.tanh(h))

    def backward(dy, cache):
        x, W, y = cache
        dh = dy  # not that of h
        dx = (dh * (1 - y**2)) @ W.T
        return dx, x.T @ dh

    report = check(other_names, backward, {"x": normal(5, 3), "W": normal(3, 2)}, repair=False)
    assert not any("inside" in sentence for sentence in report.diagnosis)


@pytest.mark.parametrize("what", ["function", "method", "object", "builtin"])
def test_the_code_of_whatever_can_be_called(what):
    class Layer:
        def forward(self, x):
            return x

        def __call__(self, x):
            return x

    layer = Layer()
    found = {"function": rnn_forward, "method": layer.forward, "object": layer, "builtin": np.tanh}[what]
    names = {"function": "rnn_forward", "method": "forward", "object": "__call__"}
    code = code_of(found)
    assert (code is None) == (what == "builtin")
    assert code is None or code.co_name == names[what]


def test_a_gradient_of_what_goes_into_a_function_is_not_held_against_its_name():
    def backward(dy, cache):
        x, a, W1, W2 = cache
        da = (dy @ W2.T) * (1 - a**2)  # of z, whatever it is called
        return da @ W1, x.T @ da, a.T @ dy

    inputs = {"x": normal(5, 4), "W1": normal(4, 4), "W2": normal(4, 2)}
    report = check(forward, backward, inputs, repair=False)
    assert not report.ok
    assert not any("inside is da" in sentence for sentence in report.diagnosis)


def test_a_part_of_an_input_is_not_moved_with_it():
    def polynomial(p, A):
        u, v = p[:, 0], p[:, 1]
        f = np.stack([u, v, u * v], 1)
        return f @ A, (u, v, f, A)

    def backward(dy, cache):
        u, v, f, A = cache
        df = dy @ A.T
        du, dv = df[:, 0] + df[:, 2] * v, df[:, 1] + df[:, 2] * u
        return np.stack([dv, du], 1), f.T @ dy

    report = check(polynomial, backward, {"p": normal(5, 2), "A": normal(3, 4)}, repair=False)
    assert not any("inside" in sentence for sentence in report.diagnosis)
    assert "has its parts along axis 1 in the order 1, 0" in report.diagnosis[0]


def test_all_lines_that_make_it_are_told():
    def backward(dy, cache):
        x, a, W1, W2 = cache
        given = dy @ W2.T
        grown = given * W2.sum()
        dz = grown * (1 - a**2)
        return dz @ W1.T, x.T @ dz, a.T @ dy

    sentence = first_wrong(backward)
    line = backward.__code__.co_firstlineno
    assert f"lines {line + 2} to {line + 4}, `dz = grown * (1 - a**2)`" in sentence
