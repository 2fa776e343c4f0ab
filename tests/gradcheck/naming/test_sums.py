"""Gradients that are not summed over the batch, or over the wrong axis."""

import numpy as np
import pytest

from ..operations import diagnosed, normal


def layer(x, W, b):
    return x @ W + b, (x, W)


@pytest.mark.parametrize(
    ("db", "name"),
    [
        (lambda dy: dy[0], "a missing sum over the batch"),
        (lambda dy: dy[-1], "a missing sum over the batch"),
        (lambda dy: dy.sum(1), "a sum over the wrong axis"),
    ],
)
def test_of_a_bias(db, name):
    inputs = {"x": normal(4, 3), "W": normal(3, 4), "b": normal(4)}
    assert name in diagnosed(layer, lambda dy, cache: (dy @ cache[1].T, cache[0].T @ dy, db(dy)), inputs)


def test_of_a_matrix():
    inputs = {"x": normal(4, 3), "W": normal(3, 2), "b": normal(2)}
    sentence = diagnosed(layer, lambda dy, cache: (dy @ cache[1].T, np.outer(cache[0][0], dy[0]), dy.sum(0)), inputs)
    assert "a missing sum over the batch" in sentence
