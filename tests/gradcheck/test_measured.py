"""A verdict is given where slopes can tell, and nowhere else."""

import functools

import numpy as np
import pytest

from scratchlv.gradcheck import check as check_and_repair
from scratchlv.gradcheck import check_model

from .operations import linear, normal, wrong

check = functools.partial(check_and_repair, repair=False)  # the line is not what is tested here

X = normal(5, 3)


def relu_layer(x, W, b):
    a = x @ W + b
    return np.maximum(a, 0), (x, W, a)


def relu_backward(surplus=0.0):
    def backward(dy, cache):
        x, W, a = cache
        da = dy * (a > 0)
        return da @ W.T, x.T @ da + surplus, da.sum(0)

    return backward


ZEROS = {"x": X, "W": np.zeros((3, 4)), "b": np.zeros(4)}


def test_what_was_not_compared_is_not_right():
    report = check(relu_layer, relu_backward(), ZEROS)
    assert report.verdict == "not checked"
    assert "dW: not checked: every point lies on a kink" in str(report)


def test_a_bug_is_not_hidden_by_kinks_everywhere():
    report = check(relu_layer, relu_backward(7.0), ZEROS)
    assert wrong(report) >= {"dW"}
    assert report.verdict == "WRONG"


def test_a_model_at_a_kink_is_not_right():
    def loss_and_grads(params):
        y, cache = relu_layer(X, params["W"], params["b"])
        _, dW, db = relu_backward()(np.ones_like(y), cache)
        return y.sum(), {"W": dW, "b": db}

    report = check_model({"W": np.zeros((3, 4)), "b": np.zeros(4)}, loss_and_grads)
    assert report.verdict == "not checked"


P = np.array([1e-4, 0.3, 0.6998, 1e-7])


@pytest.mark.parametrize("factor", [1, 1.001])
@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (lambda x: (np.log(x), x), lambda dy, x: dy / x),
        (lambda x: (np.sqrt(x), x), lambda dy, x: dy / 2 / np.sqrt(x)),
        (lambda x: (1 / x, x), lambda dy, x: -dy / x**2),
        (lambda x: (-np.log(x[0]), x), lambda dy, x: np.where(np.arange(4) == 0, -dy / x, 0)),
        (lambda x: (1e10 + (x**2).sum(), x), lambda dy, x: 2 * x * dy),
        (lambda x: (1e12 * x, x), lambda dy, x: 1e12 * dy),
        (lambda x: (1e-12 * x, x), lambda dy, x: 1e-12 * dy),
    ],
)
def test_steps_follow_the_point(forward, backward, factor):
    """A right gradient is not accused, whatever the size of the numbers; a wrong one is not right."""
    report = check(forward, lambda dy, x: (factor * backward(dy, x),), {"x": P})
    if factor == 1:
        assert report.verdict != "WRONG", str(report)
    else:
        assert report.verdict != "right", str(report)
    assert "is 1 times" not in str(report)


@pytest.mark.parametrize("seed", range(5))
def test_huge_features(seed):
    x = 1.7e12 * np.random.default_rng(seed).random((5, 3))
    report = check(linear, lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy), {"x": x, "W": normal(3, 2)}, seed=seed)
    assert report.ok, str(report)


def test_too_small_to_measure():
    report = check(lambda x: (1 + 1e-12 * x, None), lambda dy, _: (1e-12 * dy,), {"x": X})
    assert report.verdict == "not checked"
    assert "too small to measure" in str(report)


def test_the_two_values_are_printed_apart():
    report = check(lambda x: (np.log(x), x), lambda dy, x: (dy / x * (1 + 1e-5),), {"x": P[:1]})
    (gradient,) = report.gradients
    got, due = str(gradient).split("at (0,): ")[1].split(", and should be ")
    assert got != due.split()[0]


@pytest.mark.parametrize("distance", [1e-7, 1e-10, 1e-14])
@pytest.mark.parametrize("right", [True, False])
def test_beside_a_kink_the_step_gets_shorter(distance, right):
    x = X.copy()
    x[0, 0], x[1, 1] = distance, -distance
    report = check(lambda x: (np.maximum(x, 0), x), lambda dy, x: (dy * ((x > 0) == right),), {"x": x})
    assert report.verdict == ("right" if right else "WRONG"), str(report)


def test_a_step_that_crosses_a_kink_is_said():
    x = np.array([1e-9, 1.0, -1.0])
    report = check(lambda x: (np.maximum(x, 0), x), lambda dy, x: (dy * (x > 0),), {"x": x})
    assert "so near a kink that the usual step crosses it" in str(report)


def float32_inside(x):
    return 2 * np.tanh(x.astype(np.float32)).astype(np.float64), x


@pytest.mark.parametrize("forward", [float32_inside, lambda x: (2 * np.tanh(x.astype(np.float32)), x)])
def test_a_forward_in_float32_is_said_and_not_called_wrong(forward):
    report = check(forward, lambda dy, x: (2 * dy * (1 - np.tanh(x) ** 2),), {"x": X})
    assert report.verdict == "not checked"
    assert "forward loses digits on the way from x: consistent with a computation in float32 inside forward" in str(
        report
    )
    report = check(forward, lambda dy, x: (dy * (1 - np.tanh(x) ** 2),), {"x": X})
    assert wrong(report) == {"dx"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_float32_accumulator_in_backward_is_not_right(dtype):
    def backward(dy, cache):
        x, W = cache
        dW = np.zeros(W.shape, dtype)
        dW += (x.T @ dy).astype(dtype)
        return dy @ W.T, dW.astype(np.float64)

    report = check(linear, backward, {"x": X, "W": normal(3, 2)})
    assert report.verdict == ("right" if dtype == np.float64 else "WRONG")
    assert (dtype == np.float64) or "dW has but seven digits" in report.problems[0]


def pooled(x):
    windows = x.reshape(-1, 4)
    return windows.max(1), windows


def to_the_first(dy, windows):
    dx = np.zeros_like(windows)
    dx[np.arange(len(windows)), windows.argmax(1)] = dy
    return (dx.reshape(-1),)


def to_all(dy, windows):
    return ((dy[:, None] * (windows == windows.max(1, keepdims=True))).reshape(-1),)


def test_ties_that_all_get_the_gradient_are_caught():
    """Each of them lies on a kink; moved together, the maximum is smooth."""
    ties = np.array([1.0, 2, 2, 0, 3, 3, 3, 3, 5, 4, 1, 0])
    assert check(pooled, to_the_first, {"x": ties}).ok
    report = check(pooled, to_all, {"x": ties})
    assert wrong(report) == {"dx"}
    assert "all ties of a maximum" in report.diagnosis[0]
    assert check(pooled, to_all, {"x": normal(12)}).ok


def test_a_gradient_of_zero_is_right_beside_others_that_are_not():
    """A bias before a softmax changes nothing, but for rounding."""

    def softmax(x, b):
        e = np.exp(x + b)
        p = e / e.sum(-1, keepdims=True)
        return p, p

    def backward(dy, p):
        da = p * (dy - (dy * p).sum(-1, keepdims=True))
        return da, np.array(da.sum())

    assert check(softmax, backward, {"x": X, "b": np.array(0.3)}).ok
    report = check(softmax, lambda dy, p: (backward(dy, p)[0], np.array(1e-3)), {"x": X, "b": np.array(0.3)})
    assert wrong(report) == {"db"}


def test_empty_inputs_are_not_right():
    report = check(linear, lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy), {"x": X[:0], "W": normal(3, 2)})
    assert report.verdict == "not checked"
    assert "x is empty" in str(report)


def test_how_many_of_how_many_were_compared_is_said():
    report = check(linear, lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy), {"x": X, "W": normal(3, 200)})
    assert "302 of 600 elements compared" in str(report)


def test_every_element_counts_however_small():
    """An error in an element that is 1000 times smaller than the largest."""
    x = np.array([1e-3, 1.0])
    report = check(lambda x: (x**2, x), lambda dy, x: (2 * x * dy * np.array([1.001, 1]),), {"x": x})
    assert wrong(report) == {"dx"}
