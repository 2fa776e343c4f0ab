"""Calls are looked at before they run; what goes wrong in them is shown with the user's own line."""

import numpy as np
import pytest

from scratchlv.gradcheck import check
from scratchlv.gradcheck.calls import generator, output_gradient

from .operations import linear, normal

INPUTS = {"x": normal(5, 3), "W": normal(3, 2)}


def backward(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy


def cache_first(cache, dy):
    return backward(dy, cache)


@pytest.mark.parametrize("N", [2, 5])  # two rows could be taken for y and a cache
@pytest.mark.parametrize(
    ("forward", "sentence"),
    [
        (lambda x, W: x @ W, "forward returns one array of the shape (<N>, 2), float64, and should return two things"),
        (
            lambda x, W: (x @ W, x, W),
            "forward returns 3 things, and should return two things, y and a cache: (y, cache)",
        ),
        (lambda x, W: None, "forward returns None, and should return two things"),
        (lambda x, W: (np.argmax(x @ W, 1), None), "as y, and should return floating-point numbers"),
        (lambda x, W: (1j * x @ W, None), "the output of forward is complex"),
    ],
)
def test_what_forward_must_return(forward, sentence, N):
    report = check(forward, backward, {"x": normal(N, 3), "W": normal(3, 2)})
    assert report.verdict == "WRONG"
    assert sentence.replace("<N>", str(N)) in report.problems[0]


@pytest.mark.parametrize(
    ("forward", "backward", "sentence"),
    [
        (linear, cache_first, "backward takes (cache, dy), and is called as backward(dy, cache)"),
        (linear, lambda dy: dy, "of a layer that keeps its own cache, give lambda x: (layer.forward(x), None)"),
        (linear, lambda dy, x, W: dy, "backward takes (dy, x, W), and is called as backward(dy, cache)"),
        (backward, lambda x, W: (x, W), ""),
        (linear, None, "backward is a NoneType, and should be a function"),
    ],
)
def test_how_the_two_are_called(forward, backward, sentence):
    report = check(forward, backward, INPUTS)
    assert report.verdict == "WRONG"
    assert sentence in report.problems[0]


def test_exchanged_functions_are_named():
    def forward(x, W):
        return linear(x, W)

    (problem,) = check(backward, forward, INPUTS).problems
    assert problem == "check was called with backward first and forward second: forward comes first, then backward"


def test_an_exception_is_shown_with_the_users_own_line():
    def broken(dy, cache):
        x, W = cache
        return dy @ W, x.T @ dy  # no .T

    report = check(linear, broken, INPUTS)
    assert report.problems[0].startswith("backward raises ValueError: matmul")
    assert "test_calls.py, line" in report.problems[0]
    assert "`return dy @ W, x.T @ dy  # no .T`" in report.problems[0]

    def unserved(x, W):
        raise RuntimeError("not today")

    (problem,) = check(unserved, backward, INPUTS).problems
    assert problem.startswith("forward raises RuntimeError: not today (test_calls.py, line")


def test_nan_is_placed_and_traced_to_an_input():
    x = normal(5, 3)
    x[2, 1] = np.nan
    (problem,) = check(linear, backward, {**INPUTS, "x": x}).problems
    assert problem == "the output of forward holds NaN or infinity, first at (2, 0); the input x does at (2, 1)"


def test_the_output_gradient_is_not_what_a_learner_draws():
    """With x == dy, a dW that is transposed would be right."""
    x = np.random.default_rng(0).standard_normal((3, 3))
    assert not np.allclose(output_gradient(x, generator(0)), x)
    report = check(linear, lambda dy, cache: (dy @ cache[1].T, dy.T @ cache[0]), {"x": x, "W": normal(3, 3)})
    assert [gradient.verdict for gradient in report.gradients] == ["right", "WRONG"]


def test_a_loss_has_the_output_gradient_one():
    assert output_gradient(2.5, generator(0)) == 1
    assert output_gradient(np.float64(2.5), generator(0)) == 1
    several = output_gradient({"a": 1.0, "b": np.ones(3), "index": np.arange(3), "name": "relu"}, generator(0))
    assert several["a"] != 1 and several["b"].shape == (3,) and not several["index"].any() and several["name"] == "relu"


def test_a_loss_that_ignores_its_output_gradient_is_wrong():
    report = check(lambda x: ((x**2).sum(), x), lambda dy, x: (2 * x,), {"x": normal(5, 3)})
    assert report.verdict == "WRONG"
    assert "dx does not follow the output gradient" in report.problems[0]
    assert "an upstream gradient that is ignored" in report.problems[0]


class Node:
    def __init__(self, value, previous):
        self.value, self.previous = value, previous


def test_a_cache_may_be_a_chain_of_objects_or_a_ring():
    def forward(x):
        node = None
        for value in x:
            node = Node(np.array(value), node)
        return (x**2).sum(), (node, x)

    assert check(forward, lambda dy, cache: (2 * cache[1] * dy,), {"x": normal(2000)}, max_elements=10).ok

    def ring(x):
        node = Node(x, None)
        node.previous = node
        return x**2, node

    assert check(ring, lambda dy, node: (2 * node.value * dy,), {"x": normal(5)}).ok

    def spoils(dy, node):
        node.value *= 2
        return (node.value * dy,)

    assert check(ring, spoils, {"x": normal(5)}).problems[0].startswith("backward changes the cache in place")


def test_a_layer_that_writes_its_gradients_down_is_no_offender():
    class Layer:
        def forward(self, x):
            self.x = x
            return x**2, self

        def backward(self, dy, _):
            self.dx = 2 * self.x * dy
            return (self.dx,)

    layer = Layer()
    report = check(layer.forward, layer.backward, {"x": normal(5)})
    assert report.ok, str(report)
