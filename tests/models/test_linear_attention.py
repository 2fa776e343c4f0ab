"""Attention without its softmax, which a memory network may begin with."""

import numpy as np
import pytest

from scratchlv.gradcheck import assert_gradients
from scratchlv.models import linear_attention

rng = np.random.default_rng(0)
X, KEYS, QUERY = rng.standard_normal((3, 5, 4)), rng.standard_normal((3, 5, 6)), rng.standard_normal((3, 6))
MASK = np.array([[1, 1, 1, 0, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)


def test_number_by_number():
    (z, a), _ = linear_attention.forward(X, KEYS, QUERY, MASK)
    for n in range(3):
        weights = [sum(KEYS[n, l, k] * QUERY[n, k] for k in range(6)) * MASK[n, l] for l in range(5)]
        np.testing.assert_allclose(a[n], weights)
        np.testing.assert_allclose(z[n], sum(w * x for w, x in zip(weights, X[n], strict=True)))


@pytest.mark.parametrize("mask", [None, MASK])
def test_the_gradients(mask):
    inputs = {"x": X, "keys": KEYS, "query": QUERY}
    assert_gradients(
        lambda x, keys, query: linear_attention.forward(x, keys, query, mask), linear_attention.backward, inputs
    )


def test_attention_that_sends_nothing_back():
    (z, a), cache = linear_attention.forward(X, KEYS, QUERY, MASK)
    without = linear_attention.backward((z, None), cache)
    zero = linear_attention.backward((z, np.zeros_like(a)), cache)
    for one, other in zip(without, zero, strict=True):
        np.testing.assert_array_equal(one, other)
