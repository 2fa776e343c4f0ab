"""Additive attention: what is particular to it (what it shares with the other form is in test_attention.py)."""

import re

import numpy as np
import pytest

from scratchlv.kernels.additive_attention import row_sums
from scratchlv.kernels.building_blocks.simd import WIDTH
from scratchlv.ops import additive_attention

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
N, L, D, A = 3, 7, 4, 5


def inputs():
    shapes = (N, L, D), (N, L, A), (N, A), (A,)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@variants
def test_only_the_sum_of_key_and_query_counts(variant):
    module = additive_attention.variant(variant)
    x, keys, query, v = inputs()
    keys, query = np.round(8 * keys) / 8, np.round(8 * query) / 8  # eighths, so that the sums are exact
    (z, alpha), _ = module.forward(x, keys, query, v)
    (z_moved, alpha_moved), _ = module.forward(x, keys + 2, query - 2, v)
    np.testing.assert_array_equal(z, z_moved)
    np.testing.assert_array_equal(alpha, alpha_moved)


@variants
def test_the_query_was_added_to_every_key(variant):
    module = additive_attention.variant(variant)
    (z, alpha), cache = module.forward(*inputs())
    _, dkeys, dquery, _ = module.backward((np.ones_like(z), np.ones_like(alpha)), cache)
    np.testing.assert_allclose(dquery, dkeys.sum(1), atol=1e-6)


@variants
def test_a_key_that_is_far_out_has_no_slope(variant):
    """tanh is flat there: no more than v can be said for or against a region."""
    module = additive_attention.variant(variant)
    x, keys, query, v = inputs()
    keys[:, 1] = 1e4
    (z, alpha), cache = module.forward(x, keys, query, v)
    score = np.log(alpha.astype(np.float64))
    expected = v.sum() - np.tanh(keys + query[:, None]) @ v
    np.testing.assert_allclose(score[:, 1:2] - score, expected, atol=1e-5)
    _, dkeys, _, _ = module.backward((np.ones_like(z), None), cache)
    np.testing.assert_allclose(dkeys[:, 1], 0, atol=1e-6)


@variants
@pytest.mark.parametrize(
    ("name", "shape", "needed"),
    [
        ("x", (N, L - 1, D), (N, L, D)),
        ("query", (1, A), (N, A)),
        ("v", (A - 2,), (A,)),
        ("mask", (N, 1), (N, L)),
    ],
)
def test_shapes_that_do_not_fit_are_named(variant, name, shape, needed):
    """Before a kernel reads past their ends, and before NumPy stretches what is 1 wide."""
    arguments = dict(zip(("x", "keys", "query", "v"), inputs(), strict=True))
    wrong = np.ones(shape, bool if name == "mask" else np.float32)
    message = f"{name} has the shape {shape}; keys (3, 7, 5) need {needed}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        additive_attention.variant(variant).forward(**arguments | {name: wrong})


# --- sums over regions and steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, WIDTH - 1, WIDTH, 2 * WIDTH + 3])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 9])
def test_sums_over_regions_and_over_steps(count, size):
    """Whole groups of four rows and not, whole vectors and not, against float64; nothing is written past the end."""
    rows = np.exp(3 * rng.standard_normal((count, size))).astype(np.float32)
    y, v, before = (rng.random(size, np.float32) for _ in range(3))
    weights = rng.standard_normal(count).astype(np.float32)
    p = rows.astype(np.float64) * y
    tanh, slope = (p - 1) / (p + 1), p / (1 + p) ** 2
    scores = np.full(count + 3, np.nan)
    row_sums.scores_of_rows(rows, y, v, scores)
    np.testing.assert_allclose(scores[:count], tanh @ v.astype(np.float64), rtol=0, atol=1e-6 * size)
    derivatives = np.append(before, np.float32(-1))
    row_sums.add_derivatives_of_rows(weights, rows, y, derivatives[:-1])
    np.testing.assert_allclose(derivatives[:-1], before + weights @ slope, rtol=0, atol=1e-6)
    assert derivatives[-1] == -1
    derivatives, tanhs = np.full((2, size + 1), -1, np.float32)
    row_sums.derivatives_over_steps(weights, y, rows, derivatives[:-1], tanhs[:-1])
    np.testing.assert_allclose(derivatives[:-1], weights @ slope, rtol=0, atol=1e-6)
    np.testing.assert_allclose(tanhs[:-1], weights @ tanh, rtol=0, atol=3e-6)
    assert derivatives[-1] == tanhs[-1] == -1
