"""Attention that empty memories have a share of: as if they were there, as zeros."""

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import assert_gradients
from scratchlv.kernels.dot_product_attention import reference
from scratchlv.models import shared_attention

rng = np.random.default_rng(0)
X, KEYS, QUERY = rng.standard_normal((3, 5, 4)), rng.standard_normal((3, 5, 6)), rng.standard_normal((3, 6))
MASK = np.array([[1, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)


@pytest.mark.parametrize("memories", [5, 8])
def test_it_is_attention_over_zeros_too(memories):
    (z, alpha), _ = shared_attention.forward(X, KEYS, QUERY, MASK, memories)
    x, keys = np.zeros((3, memories, 4)), np.zeros((3, memories, 6))
    x[:, :5], keys[:, :5] = X * MASK[:, :, None], KEYS * MASK[:, :, None]
    (expected, share), _ = reference.forward(x, keys, QUERY)
    np.testing.assert_allclose(z, expected, atol=1e-12)
    np.testing.assert_allclose(alpha, share[:, :5] * MASK, atol=1e-12)


@pytest.mark.parametrize("memories", [5, 8])
def test_the_gradients(memories):
    with scratchlv.use("reference"):
        assert_gradients(
            lambda x, keys, query: shared_attention.forward(x, keys, query, MASK, memories),
            lambda dy, cache: shared_attention.backward(dy, cache)[:3],
            {"x": X, "keys": KEYS, "query": QUERY},
        )


@pytest.mark.parametrize("memories", [5, 8])
def test_scores_of_any_size(memories):
    for size in (1e4, -1e4):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            (z, alpha), cache = shared_attention.forward(X, size * np.abs(KEYS), np.abs(QUERY), MASK, memories)
            grads = shared_attention.backward((z, alpha), cache)
        assert all(np.isfinite(each).all() for each in (z, alpha, *grads[:3]))
        shares = [0, 0, memories == 5] if size < 0 else [1, 0, 1]
        np.testing.assert_allclose(alpha.sum(axis=1), shares)
