"""Whatever backward returns is matched with the inputs, or it is said what was expected and what came."""

import functools
from typing import NamedTuple

import numpy as np
import pytest

from scratchlv.gradcheck import check as check_and_repair

from .operations import linear, normal

check = functools.partial(check_and_repair, repair=False)  # the line is not what is tested here

INPUTS = {"x": normal(5, 3), "W": normal(3, 2)}


def gradients(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy


class Gradients(NamedTuple):
    dW: np.ndarray
    dx: np.ndarray


@pytest.mark.parametrize(
    "form",
    [
        tuple,
        list,
        lambda grads: dict(zip(("x", "W"), grads, strict=True)),
        lambda grads: dict(zip(("dx", "dW"), grads, strict=True)),
        lambda grads: dict(zip(("grad_x", "grad_W"), grads, strict=True)),
        lambda grads: Gradients(grads[1], grads[0]),  # by its names, not by its order
    ],
)
def test_gradients_come_by_position_or_by_name(form):
    assert check(linear, lambda dy, cache: form(gradients(dy, cache)), INPUTS).ok
    report = check(linear, lambda dy, cache: form((gradients(dy, cache)[0], 2 * gradients(dy, cache)[1])), INPUTS)
    assert [gradient.name for gradient in report.gradients if not gradient.ok] == ["dW"]


@pytest.mark.parametrize("form", [lambda dx: dx, lambda dx: (dx,), lambda dx: [dx], lambda dx: {"dx": dx}])
def test_the_gradient_of_the_only_input_needs_no_tuple(form):
    assert check(lambda x: (x**2, x), lambda dy, x: form(2 * x * dy), {"x": normal(5, 3)}).ok
    assert not check(lambda x: (x**2, x), lambda dy, x: form(x * dy), {"x": normal(5, 3)}).ok


def sum_of(xs):
    return sum((x**2).sum() for x in xs), xs


def test_a_list_of_arrays_has_a_list_of_gradients():
    inputs = {"xs": [normal(5, 3), normal(3)]}
    assert check(sum_of, lambda dy, xs: ([2 * x * dy for x in xs],), inputs).ok
    assert check(sum_of, lambda dy, xs: [2 * x * dy for x in xs], inputs).ok
    assert not check(sum_of, lambda dy, xs: (), inputs).ok
    assert not check(sum_of, lambda dy, xs: ([2 * x * dy for x in xs[:1]],), inputs).ok


def affine(x, params):
    return x @ params["W"] + params["b"], (x, params)


def affine_gradients(dy, cache):
    x, params = cache
    return dy @ params["W"].T, {"W": x.T @ dy, "b": dy.sum(0)}


AFFINE = {"x": normal(5, 3), "params": {"W": normal(3, 2), "b": normal(2)}}


@pytest.mark.parametrize(
    ("backward", "sentence"),
    [
        (lambda dy, cache: None, "backward returns None, and should return dx, dW: is its return missing?"),
        (lambda dy, cache: (), "backward returns 0 gradients, and should return 2: dx, dW"),
        (lambda dy, cache: dy @ cache[1].T, "backward returns 1 gradient, and should return 2: dx, dW"),
        (lambda dy, cache: (dy @ cache[1].T, None), "dW is None, and should be the gradient of W"),
        (lambda dy, cache: (*gradients(dy, cache), dy), "backward returns 3 gradients, and should return 2: dx, dW"),
        (lambda dy, cache: {"dx": dy @ cache[1].T}, "backward returns no gradient of W, and should return dx, dW"),
        (lambda dy, cache: {"dx": dy, "dW": dy, "db": dy}, "backward returns db, and there is no such input"),
        (lambda dy, cache: {"a": dy, "b": dy}, "backward returns a dict of a, b, and should return dx, dW"),
        (lambda dy, cache: ("dx", "dW"), "dx is a str, and should be an array of floating-point numbers"),
        (lambda dy, cache: (1j * dy @ cache[1].T, cache[0].T @ dy), "dx is of dtype complex128"),
    ],
)
def test_what_is_not_the_gradients_is_said(backward, sentence):
    report = check(linear, backward, INPUTS)
    assert report.verdict == "WRONG"
    assert sentence in report.problems[0]


@pytest.mark.parametrize(
    "backward",
    [
        lambda dy, cache: (dy @ cache[1]["W"].T,),
        lambda dy, cache: dy @ cache[1]["W"].T,
        lambda dy, cache: (affine_gradients(dy, cache)[0], {"W": cache[0].T @ dy}),
        lambda dy, cache: (affine_gradients(dy, cache)[0], {}),
    ],
)
def test_parameters_without_gradients_are_never_right(backward):
    assert check(affine, affine_gradients, AFFINE).ok
    report = check(affine, backward, AFFINE)
    assert report.verdict == "WRONG"
    assert "params" in report.problems[0]


def test_a_mask_without_a_gradient_is_to_be_named():
    inputs = {"x": normal(5, 3), "mask": (normal(5, 3) > 0).astype(float)}
    forward, backward = lambda x, mask: (x * mask, mask), lambda dy, mask: dy * mask
    report = check(forward, backward, inputs)
    assert "if mask has none (a mask or a target, say), name it: fixed=['mask']" in report.problems[0]
    assert check(forward, backward, inputs, fixed=["mask"]).ok


def with_bias(x, W, b):
    return x @ W + b, (x, W)


BIASED = {**INPUTS, "b": normal(2)}


def test_a_wrong_order_is_named():
    def backward(dy, cache):
        dx, dW = gradients(dy, cache)
        return dx, dy.sum(0), dW

    (problem,) = check(with_bias, backward, BIASED).problems
    assert problem.startswith("dW has b's shape (2,); the order of forward's inputs is x, W, b")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda dx, dW, db: (dx, dW, db[:, None]), "(N,) and (N, 1) are not the same"),
        (lambda dx, dW, db: (dx, dW.T, db), "transposed"),
        (lambda dx, dW, db: (dx, dW, np.tile(db, (5, 1))), "a missing sum over the batch"),
        (lambda dx, dW, db: (dx, dW, np.outer(db, db)), "a broadcasting mistake"),
        (lambda dx, dW, db: (dx, dW, db.sum()), "a sum over an axis too many"),
        (lambda dx, dW, db: (dx, dW.sum(0, keepdims=True), db), "a sum over an axis too many"),
    ],
)
def test_shapes_are_compared_before_values(change, reason):
    report = check(with_bias, lambda dy, cache: change(*gradients(dy, cache), dy.sum(0)), BIASED)
    assert "has the shape" in report.problems[0]
    assert f"is consistent with {reason}" in report.problems[1] or reason in report.problems[1]
