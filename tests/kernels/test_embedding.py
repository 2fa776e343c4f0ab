"""Embedding: what is particular to it."""

import numpy as np
import pytest

from scratchlv.ops import embedding

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])


@variants
def test_it_is_a_one_hot_matrix_product(variant):
    module = embedding.variant(variant)
    tokens, W = rng.integers(0, 5, (4, 3)), rng.standard_normal((5, 2))
    one_hot = np.eye(5)[tokens]
    y, cache = module.forward(tokens, W)
    np.testing.assert_array_equal(y, one_hot @ W)
    dy = rng.standard_normal(y.shape)
    (dW,) = module.backward(dy, cache)
    np.testing.assert_allclose(dW, one_hot.reshape(-1, 5).T @ dy.reshape(-1, 2), rtol=1e-14)


@variants
def test_a_repeated_token_receives_every_gradient(variant):
    module = embedding.variant(variant)
    W = np.zeros((4, 3), np.float32)
    y, cache = module.forward(np.array([2, 0, 2, 2]), W)
    dy = np.ones_like(y) * np.array([[1], [10], [100], [1000]], np.float32)
    (dW,) = module.backward(dy, cache)
    np.testing.assert_array_equal(dW[:, 0], [10, 0, 1101, 0])


@variants
@pytest.mark.parametrize("token", [-1, 5, 99])
def test_a_token_outside_the_vocabulary_is_named(variant, token):
    W = np.zeros((5, 2), np.float32)
    with pytest.raises(ValueError, match=rf"token {token} is outside the vocabulary: there are V = 5 rows"):
        embedding.variant(variant).forward(np.array([[0, token], [4, 1]]), W)


@variants
def test_tokens_must_be_integers(variant):
    with pytest.raises(ValueError, match="must be integers; they are float64"):
        embedding.variant(variant).forward(np.array([0.0, 1.0]), np.zeros((5, 2), np.float32))


@variants
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_integers_are_tokens(variant, dtype):
    W = rng.standard_normal((5, 2)).astype(np.float32)
    tokens = np.array([[4, 0], [1, 4]], dtype)
    np.testing.assert_array_equal(embedding.variant(variant).forward(tokens, W)[0], W[[[4, 0], [1, 4]]])
