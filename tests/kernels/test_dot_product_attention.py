"""Dot-product attention: what is particular to it (what it shares with the other form is in test_attention.py)."""

import numpy as np
import pytest

from scratchlv.ops import dot_product_attention

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
N, L, D, K, Q = 3, 7, 4, 5, 6


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def run(variant, *arguments, dy, **settings):
    module = dot_product_attention.variant(variant)
    y, cache = module.forward(*arguments, **settings)
    return y, module.backward(dy, cache)


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * max(1, np.abs(expected).max()))


@variants
def test_without_w_it_is_as_with_the_identity(variant):
    x, keys, query, dy = normal(N, L, D), normal(N, L, K), normal(N, K), (normal(N, D), normal(N, L))
    (z, alpha), (*grads, dW) = run(variant, x, keys, query, dy=dy)
    y, (*expected, _) = run(variant, x, keys, query, np.eye(K, dtype=np.float32), dy=dy)
    assert dW is None
    for got, same in zip([z, alpha, *grads], [*y, *expected], strict=True):
        assert_close(got, same)


@variants
def test_w_is_a_linear_map_of_the_query(variant):
    x, keys, query, W, dy = normal(N, L, D), normal(N, L, K), normal(N, Q), normal(Q, K), (normal(N, D), normal(N, L))
    (z, alpha), (dx, dkeys, dquery, dW) = run(variant, x, keys, query, W, dy=dy)
    y, (dx_plain, dkeys_plain, dq, _) = run(variant, x, keys, query @ W, dy=dy)
    for got, same in zip([z, alpha, dx, dkeys], [*y, dx_plain, dkeys_plain], strict=True):
        assert_close(got, same)
    assert_close(dquery, dq @ W.T)
    assert_close(dW, query.T @ dq)


@variants
def test_scale_is_a_factor_of_the_keys(variant):
    x, keys, query, W, dy = normal(N, L, D), normal(N, L, K), normal(N, Q), normal(Q, K), (normal(N, D), normal(N, L))
    y, grads = run(variant, x, keys, query, W, dy=dy, scale=0.25)
    y_scaled, grads_scaled = run(variant, x, keys / 4, query, W, dy=dy)
    for got, same in zip([*y, *grads], [*y_scaled, *grads_scaled], strict=True):
        assert_close(4 * got if got is grads[1] else got, same)


@variants
def test_a_numpy_number_as_scale_changes_no_dtype(variant):
    x, keys, query, dy = normal(N, L, D), normal(N, L, K), normal(N, K), (normal(N, D), normal(N, L))
    y, (*grads, _) = run(variant, x, keys, query, dy=dy, scale=1 / np.sqrt(K))
    assert {array.dtype for array in (*y, *grads)} == {np.dtype(np.float32)}


@variants
def test_what_is_added_to_every_key_changes_nothing(variant):
    """It adds the same to every score; so the gradients of the keys add up to zero over the regions."""
    x, query, W, dy = normal(N, L, D), rng.integers(-3, 4, (N, Q)), rng.integers(-3, 4, (Q, K)), (normal(N, D), None)
    keys = rng.integers(-3, 4, (N, L, K)).astype(np.float32)  # whole numbers: the scores are exact
    arguments = [query.astype(np.float32), W.astype(np.float32)]
    y, (_, dkeys, _, _) = run(variant, x, keys, *arguments, dy=dy, scale=0.125)
    y_moved, _ = run(variant, x, keys + 16, *arguments, dy=dy, scale=0.125)
    for got, same in zip(y, y_moved, strict=True):
        np.testing.assert_array_equal(got, same)
    np.testing.assert_allclose(dkeys.sum(1), 0, atol=1e-5 * np.abs(dkeys).max())


@variants
def test_a_query_of_zero_looks_everywhere_equally(variant):
    """But it is there that the keys can be told from each other: its gradient is not zero."""
    x, keys, W, dy = normal(N, L, D), normal(N, L, K), normal(Q, K), (normal(N, D), None)
    (z, alpha), (_, dkeys, dquery, dW) = run(variant, x, keys, np.zeros((N, Q), np.float32), W, dy=dy)
    assert_close(alpha, np.full((N, L), 1 / L))
    assert_close(z, x.mean(1))
    assert not dkeys.any()
    assert not dW.any()
    assert dquery.all()


@variants
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"W": None}, "keys have 5 numbers and the query 6: without W they must be equally many"),
        (
            {"W": np.zeros((5, 6), "f")},
            r"W has the shape \(5, 6\); keys \(3, 7, 5\) and a query of 6 numbers need \(6, 5\)",
        ),
        ({"x": np.zeros((3, 6, 4), "f")}, r"x has the shape \(3, 6, 4\).*need \(3, 7, 4\)"),
        ({"query": np.zeros((1, 6), "f")}, r"query has the shape \(1, 6\).*need \(3, 6\)"),
        ({"mask": np.ones((3, 1), bool)}, r"mask has the shape \(3, 1\).*need \(3, 7\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(variant, changed, message):
    fitting = {"x": normal(N, L, D), "keys": normal(N, L, K), "query": normal(N, Q), "W": normal(Q, K)}
    with pytest.raises(ValueError, match=message):
        dot_product_attention.variant(variant).forward(**fitting | changed)
