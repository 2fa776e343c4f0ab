"""Embedding: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.cuda.versions import use_version
from scratchlv.ops import embedding

rng = np.random.default_rng(0)
WHY_NOT = why_not()
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])


@variants
def test_it_is_a_one_hot_matrix_product(variant):
    module = embedding.variant(variant)
    tokens, W = (
        rng.integers(0, 5, (4, 3)),
        rng.integers(-9, 10, (5, 2)).astype(np.float32),
    )  # whole numbers: sums are exact
    one_hot = np.eye(5)[tokens]
    y, cache = module.forward(tokens, W)
    np.testing.assert_array_equal(y, one_hot @ W)
    dy = rng.integers(-9, 10, y.shape).astype(np.float32)
    (dW,) = module.backward(dy, cache)
    np.testing.assert_array_equal(dW, one_hot.reshape(-1, 5).T @ dy.reshape(-1, 2))


@variants
def test_a_repeated_token_receives_every_gradient(variant):
    module = embedding.variant(variant)
    W = np.zeros((4, 3), np.float32)
    y, cache = module.forward(np.array([2, 0, 2, 2]), W)
    dy = np.ones_like(y) * np.array([[1], [10], [100], [1000]], np.float32)
    (dW,) = module.backward(dy, cache)
    np.testing.assert_array_equal(dW[:, 0], [10, 0, 1101, 0])


@pytest.mark.parametrize("places", ["few rows have most", "one has all", "the last has all"])
def test_every_row_of_the_gradient_is_written_whoever_has_the_places(places):
    """Threads cut the rows where the work is."""
    V, E, T = 300, 72, 5000
    drawn = {"few rows have most": (V * rng.random(T) ** 8).astype(int), "one has all": [7] * T}
    tokens = np.asarray(drawn.get(places, [V - 1] * T))
    _, cache = embedding.variant("numba_cpu").forward(tokens, np.zeros((V, E), np.float32))
    dy = rng.integers(-9, 10, (T, E)).astype(np.float32)  # sums are exact
    for _ in range(2):  # the second time the memory of the first is used again
        (dW,) = embedding.variant("numba_cpu").backward(dy, cache)
        expected = np.zeros((V, E), np.float32)
        np.add.at(expected, tokens, dy)
        np.testing.assert_array_equal(dW, expected)
        dW.fill(np.nan)
        del dW


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


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("number", embedding.variant("cuda").VERSIONS)
def test_on_a_gpu_a_token_outside_the_vocabulary_is_nan_and_nothing_else_is_touched(monkeypatch, number):
    """There nobody looks at the tokens beforehand: that would be a round trip."""
    cuda = embedding.variant("cuda")
    monkeypatch.setattr(cuda, "check_tokens", lambda tokens, V: tokens)
    tokens = np.array([4, -1, 0, 5, 2**63 - 1, -(2**63), 0, 5] * 200)
    known = (tokens >= 0) & (tokens < 5)
    W, dy = (rng.standard_normal((rows, 8)).astype(np.float32) for rows in (5, 1600))
    with use_version(number):
        y, cache = cuda.forward(tokens, W)
        (dW,) = cuda.backward(dy, cache)
    np.testing.assert_array_equal(y[known], W[tokens[known]])
    assert np.isnan(y[~known]).all()
    expected = np.zeros((5, 8))
    np.add.at(expected, tokens[known], dy[known])
    np.testing.assert_allclose(dW, expected, atol=1e-4)


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("number", embedding.variant("cuda").VERSIONS)
@pytest.mark.parametrize("offset", [0, 1])
def test_rows_that_begin_anywhere_in_memory(number, offset):
    """Four columns at a time where they lie so, one at a time elsewhere."""
    W = rng.standard_normal(offset + 7 * 8).astype(np.float32)[offset:].reshape(7, 8)
    tokens = rng.integers(0, 7, 50)
    with use_version(number):
        y, cache = embedding.variant("cuda").forward(tokens, W)
        dy = rng.standard_normal(offset + y.size).astype(np.float32)[offset:].reshape(y.shape)
        (dW,) = embedding.variant("cuda").backward(dy, cache)
    np.testing.assert_array_equal(y, W[tokens])
    expected = np.zeros((7, 8))
    np.add.at(expected, tokens, dy)
    np.testing.assert_allclose(dW, expected, atol=1e-5)


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("number", embedding.variant("cuda").VERSIONS)
def test_on_a_gpu_gradients_of_a_token_are_added_in_its_order(number):
    """Also when its places lie in three tiles of the sort: 2^24 + 1 is no float32, and is 2^24."""
    tokens, dy = np.arange(2500) % 50 + 1, np.zeros((2500, 3), np.float32)
    places = [10, 1030, 2070]
    tokens[places], dy[places] = 0, [[2**24, 1, 1], [1, 2**24, -(2**24)], [-(2**24), -(2**24), 2**24]]
    expected = (dy[places[0]] + dy[places[1]]) + dy[places[2]]
    with use_version(number):
        _, cache = embedding.variant("cuda").forward(tokens, np.zeros((51, 3), np.float32))
        (dW,) = embedding.variant("cuda").backward(dy, cache)
    np.testing.assert_array_equal(expected, [0, 0, 1])  # backwards it would be 1, 1, 0
    np.testing.assert_array_equal(dW[0], expected)
