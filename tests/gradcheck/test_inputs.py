"""Inputs of every kind work, or are refused in a sentence that names the argument."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.gradcheck import check as check_and_repair
from scratchlv.gradcheck.inputs import Inputs

from .operations import linear, normal

check = functools.partial(check_and_repair, repair=False)  # the line is not what is tested here

X, W = normal(5, 3), normal(3, 2)


def linear_backward(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy


def product(a, b):
    return a * b, (a, b)


def product_backward(dy, cache):
    a, b = cache
    return dy * b, dy * a


@pytest.mark.parametrize("kind", [float, np.float64, np.array, lambda number: np.array([number])])
def test_single_numbers_are_differentiated(kind):
    inputs = {"a": kind(2.0), "b": kind(3.0)}
    assert check(product, product_backward, inputs).ok
    report = check(product, lambda dy, cache: (dy * cache[1], dy * cache[1]), inputs)
    assert [gradient.verdict for gradient in report.gradients] == ["right", "WRONG"]
    assert report.gradients[1].numeric == pytest.approx(2 * report.gradients[1].analytic / 3)


def test_a_forward_gets_the_kind_of_thing_that_was_given():
    def forward(a, b, c, x):
        assert (type(a), type(b), type(c), type(x)) == (float, np.float64, list, np.ndarray)
        return a * b * sum(c) * x, (a, b, c, x)

    def backward(dy, cache):
        a, b, c, x = cache
        total = (dy * x).sum()
        return total * b * sum(c), total * a * sum(c), [total * a * b] * len(c), dy * a * b * sum(c)

    inputs = {"a": 2.0, "b": np.float64(0.5), "c": [1.0, 2.0, -0.5], "x": X}
    report = check(forward, backward, inputs)
    assert report.ok, str(report)


def test_a_number_without_a_gradient_is_a_setting_and_this_is_said():
    def forward(x, eps):
        return np.sqrt(x**2 + eps), (x, eps)

    def backward(dy, cache):
        x, eps = cache
        return (dy * x / np.sqrt(x**2 + eps),)

    report = check(forward, backward, {"x": X, "eps": 1e-5})
    assert report.ok, str(report)
    assert report.notes == ["eps is a number without a gradient: taken for a setting"]


@dataclass
class Parameters:
    W: np.ndarray
    b: np.ndarray


class Pair(NamedTuple):
    W: np.ndarray
    b: np.ndarray


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda W, b: {"W": W, "b": b}, ["dx", "dparams['W']", "dparams['b']"]),
        (Parameters, ["dx", "dparams.W", "dparams.b"]),
        (Pair, ["dx", "dparams.W", "dparams.b"]),
        (lambda W, b: [W, b], ["dx", "dparams[0]", "dparams[1]"]),
    ],
)
def test_a_structure_of_parameters(make, names):
    def parts(params):
        return (
            list(params.values())
            if isinstance(params, dict)
            else list(vars(params).values())
            if isinstance(params, Parameters)
            else list(params)
        )

    def forward(x, params):
        W, b = parts(params)
        return x @ W + b, (x, W)

    def backward(dy, cache):
        x, W = cache
        return dy @ W.T, make(x.T @ dy, dy.sum(0))

    inputs = {"x": X, "params": make(W, normal(2))}
    report = check(forward, backward, inputs)
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == names
    report = check(forward, lambda dy, cache: (dy @ cache[1].T, make(cache[0].T @ dy, dy[0])), inputs)
    assert [gradient.verdict for gradient in report.gradients] == ["right", "right", "WRONG"]


def test_keyword_only_arrays_are_differentiated_if_they_have_a_gradient():
    def forward(x, *, W):
        return linear(x, W)

    assert check(forward, linear_backward, {"x": X, "W": W}).ok
    assert not check(forward, lambda dy, cache: (dy @ cache[1].T, -cache[0].T @ dy), {"x": X, "W": W}).ok
    assert check(forward, lambda dy, cache: (dy @ cache[1].T,), {"x": X, "W": W}).ok


def test_positional_only_parameters_are_served():
    def forward(x, W, /):
        return linear(x, W)

    assert check(forward, linear_backward, {"W": W, "x": X}).ok


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"x": X + 1j, "W": W}, "x is complex"),
        ({"x": np.array([X, None], dtype=object), "W": W}, "x is an array of Python objects"),
        ([X, W], "inputs is a list, and should be a dict by the names of forward's parameters"),
        ({"x": X}, "inputs has no W; forward's parameters are x, W"),
        ({"x": X, "W": W, "b": X}, "forward has no parameter b; its parameters are x, W"),
        ({"x": np.ones((5, 3), int), "W": np.ones((3, 2), int)}, "write 1.0 for 1|1.0 for 1"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_a_sentence(inputs, sentence):
    report = check(linear, linear_backward, inputs)
    assert report.verdict == "WRONG"
    assert any(part in report.problems[0] for part in sentence.split("|"))


def test_an_input_of_whole_numbers_that_has_a_gradient_is_not_checked():
    report = check(linear, linear_backward, {"x": X, "W": np.arange(6).reshape(3, 2)})
    assert report.verdict == "not checked"
    assert "W has whole numbers, so its gradient is not checked: write 1.0 for 1" in str(report)


@pytest.mark.parametrize(("argument", "names"), [("fixed", "Wx"), ("fixed", ["x", "w"]), ("state", ["mean"])])
def test_a_misspelt_name_is_refused(argument, names):
    with pytest.raises(UserError, match=f"{argument} names '.*', and there is no such input; there are x, W"):
        check(linear, linear_backward, {"x": X, "W": W}, **{argument: names})


def test_fixed_takes_whole_names():
    """``fixed="xs"`` means xs, not what is a part of that word."""
    inputs = {"xs": X, "x": X + 1}
    assert check(product_of, lambda dy, cache: (dy * cache[0],), inputs, fixed="xs").ok
    report = check(product_of, lambda dy, cache: (dy * cache[0] + 1,), inputs, fixed="xs")
    assert [gradient.name for gradient in report.gradients if not gradient.ok] == ["dx"]


def product_of(xs, x):
    return xs * x, (xs, x)


def test_a_state_is_put_back_before_each_call():
    def forward(x, mean):
        mean *= 0.9
        mean += 0.1 * x.mean(0)
        return x - mean, x.shape[0]

    def backward(dy, N):
        return (dy - 0.1 * dy.mean(0),)

    inputs = {"x": X, "mean": np.ones(3)}
    report = check(forward, backward, inputs)
    assert report.problems[0] == "forward changes its inputs in place: mean"
    assert "name it: state=['mean']" in report.problems[1]
    report = check(forward, backward, inputs, state=["mean"])
    assert report.ok, str(report)
    assert inputs["mean"].tolist() == [1, 1, 1]


def test_the_inputs_given_are_copied():
    given = {"x": X.astype(np.float32), "labels": np.arange(3)}
    inputs = Inputs(lambda x, labels: None, given)
    inputs.arrays["x"][0] = 7
    inputs.flat()["labels"][0] = 7
    assert (given["x"] != 7).all() and given["labels"][0] == 0
    assert inputs.arrays["x"].dtype == np.float64
