"""Layers with methods: their weights are checked with their inputs, wherever backward keeps their gradients."""

import numpy as np
import pytest

from scratchlv.gradcheck import check, layers


class Linear:
    """Keeps its own cache, and returns dx alone."""

    keep = staticmethod(lambda self, dW, db: self.__dict__.update(dW=dW, db=db))

    def __init__(self, factor=1.0):
        rng = np.random.default_rng(0)
        self.W, self.b, self.running = rng.standard_normal((5, 2)), rng.standard_normal(2), np.zeros(2)
        self.factor = factor

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.keep(self, self.factor * self.x.T @ dy, dy.sum(0))
        return dy @ self.W.T


class Dicts(Linear):
    def keep(self, own, dW, db):
        self.grads = {"W": dW, "b": db}


class Adds(Linear):
    def __init__(self, factor=1.0):
        super().__init__(factor)
        self.W_grad, self.b_grad = np.zeros((5, 2)), np.zeros(2)

    def keep(self, own, dW, db):
        self.W_grad += dW
        self.b_grad += db


class Returns(Linear):
    """With a cache, and all gradients returned besides."""

    def forward(self, x):
        return super().forward(x), x

    def backward(self, dy, cache):
        dx = Linear.backward(self, dy)
        return dx, self.dW, self.db


X = {"x": np.random.default_rng(1).standard_normal((3, 5))}


def report(layer):
    (forward, backward), inputs = layers.with_weights(layer, X)
    return check(forward, backward, inputs, repair=False)


@pytest.mark.parametrize("kind", [Linear, Dicts, Adds, Returns])
def test_the_gradients_of_weights_are_found_and_checked(kind):
    right = report(kind())
    assert right.ok
    assert [gradient.name for gradient in right.gradients] == ["dx", "dW", "db"]
    wrong = report(kind(factor=2))
    assert [gradient.name for gradient in wrong.gradients if not gradient.ok] == ["dW"]


def test_a_layer_without_weights_is_its_methods():
    class Double:
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    (forward, backward), inputs = layers.with_weights(Double(), X)
    assert inputs is X
    assert forward(X["x"])[1] is None
    assert check(forward, backward, inputs).ok


def test_a_layer_that_raises_is_left_to_the_check():
    class Broken(Linear):
        def forward(self, x):
            raise KeyError("cache")

    assert "forward raises KeyError" in str(report(Broken()))
