"""Additive attention: what is particular to it (what it shares with the other form is in test_attention.py)."""

import re

import numpy as np
import pytest

from scratchlv.gradcheck import compare
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


@variants
@pytest.mark.parametrize("of_alpha_alone", [False, True])
def test_dx_is_added_to_what_is_known_of_it(variant, of_alpha_alone):
    module = additive_attention.variant(variant)
    (z, alpha), cache = module.forward(*inputs())
    dy = None if of_alpha_alone else z, alpha
    expected, before = module.backward(dy, cache), rng.standard_normal((N, L, D)).astype(np.float32)
    total = before.copy()
    grads = module.backward(dy, cache, dx=total)
    np.testing.assert_allclose(grads.dx, before + expected.dx, rtol=0, atol=1e-6)
    assert np.shares_memory(grads.dx, total)
    for got, same in zip(grads[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(got, same)
    with pytest.raises(ValueError, match="^dx has the shape"):
        module.backward(dy, cache, dx=before[:-1])


@pytest.mark.parametrize("size", [1e-4, 1e-2, 30.0])
@pytest.mark.parametrize(("D", "A"), [(3, WIDTH), (2 * WIDTH + 1, WIDTH + 3)])
def test_small_and_large_keys_err_no_more_than_float32_must(size, D, A):
    given = {
        "x": rng.standard_normal((N, 2 * L, D)),
        "keys": size * rng.standard_normal((N, 2 * L, A)),
        "query": size * rng.standard_normal((N, A)),
        "v": rng.standard_normal(A),
    }
    report = compare(additive_attention.variant("numba_cpu"), additive_attention.variant("reference"), given)
    assert report.ok, str(report)


# --- sums over regions and steps ----------------------------------------------------------------------------------------


sizes = pytest.mark.parametrize("size", [1, WIDTH - 1, WIDTH, 2 * WIDTH + 3])
counts = pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 9])


@sizes
@counts
def test_sums_over_regions_and_over_steps(count, size):
    """Whole groups of four rows and not, whole vectors and not, against float64; nothing is written past the end."""
    keys, steps = (rng.standard_normal((count, size)).astype(np.float32) for _ in range(2))
    rows = np.exp(2 * keys)
    y, v, before = (rng.random(size, np.float32) for _ in range(3))
    weights = rng.standard_normal(count).astype(np.float32)
    p = rows.astype(np.float64) * y
    tanh, slope = (p - 1) / (p + 1), p / (1 + p) ** 2
    sums = np.full(count + 3, np.nan)
    row_sums.dots_of_rows(keys, y, sums)
    np.testing.assert_allclose(sums[:count], keys @ y.astype(np.float64), rtol=0, atol=1e-6 * size)
    row_sums.scores_of_rows(rows, y, v, sums)
    np.testing.assert_allclose(sums[:count], tanh @ v.astype(np.float64), rtol=0, atol=1e-6 * size)
    out = np.append(before, np.float32(-1))
    row_sums.add_rows(weights, keys, out[:-1])
    np.testing.assert_allclose(out[:-1], before + weights @ keys.astype(np.float64), rtol=0, atol=3e-6)
    assert out[-1] == -1
    derivatives = np.append(before, np.float32(-1))
    row_sums.add_derivatives_of_rows(weights, rows, y, derivatives[:-1])
    np.testing.assert_allclose(derivatives[:-1], before + weights @ slope, rtol=0, atol=1e-6)
    assert derivatives[-1] == -1
    key, (derivatives, tanhs) = v - np.float32(0.5), np.full((2, size + 1), -1, np.float32)
    p = np.exp(2 * (key + steps.astype(np.float64)))
    ys = np.exp(2 * steps), np.expm1(2 * steps)
    row_sums.derivatives_over_steps(weights, key, np.exp(2 * key), *ys, derivatives[:-1], tanhs[:-1])
    np.testing.assert_allclose(derivatives[:-1], weights @ (p / (1 + p) ** 2), rtol=0, atol=1e-6)
    np.testing.assert_allclose(tanhs[:-1], weights @ ((p - 1) / (p + 1)), rtol=0, atol=3e-6)
    assert derivatives[-1] == tanhs[-1] == -1


@sizes
@counts
@pytest.mark.parametrize("nontemporal", [True, False])
def test_scores_of_tanh_and_the_way_back(count, size, nontemporal):
    """As above; the gradients lie between rows that must stay as they are."""
    y, v = rng.standard_normal((2, size)).astype(np.float32)
    rows, weights = rng.standard_normal((count, size)).astype(np.float32), rng.standard_normal(count).astype(np.float32)
    s = np.tanh(rows.astype(np.float64) + y)
    sums = np.full(count + 3, np.nan)
    row_sums.tanh_scores_of_rows(rows, y, v, sums)
    np.testing.assert_allclose(sums[:count], s @ v, rtol=0, atol=1e-6 * size)
    drows, (dy, dv) = full((count + 2) * size, -1).reshape(-1, size), (full(size + 1, -1) for _ in range(2))
    nontemporal = nontemporal and size % WIDTH == 0  # rows begin where vectors may
    row_sums.tanh_gradients_of_rows(weights, rows, y, v, drows[1:-1], dy[:-1], dv[:-1], nontemporal)
    expected = weights[:, None] * v * (1 - s * s)
    np.testing.assert_allclose(drows[1:-1], expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(dy[:-1], expected.sum(0), rtol=0, atol=3e-6)
    np.testing.assert_allclose(dv[:-1], weights @ s, rtol=0, atol=3e-6)
    assert (drows[[0, -1]] == -1).all()
    assert dy[-1] == dv[-1] == -1


def full(size, value):
    """Filled with a value, and beginning on a cache line."""
    raw = np.empty(size + 16, np.float32)
    array = raw[-(raw.ctypes.data // 4) % 16 :][:size]
    array[:] = value
    return array


@pytest.mark.parametrize("size", [3e-2, 1e-3, 1e-6, 1e-20])
def test_a_small_tanh_keeps_its_digits(size):
    key, step = np.float32(size * rng.standard_normal((2, 2 * WIDTH)))
    weights, sums = np.ones(1, np.float32), np.empty((2, 2 * WIDTH), np.float32)
    row_sums.derivatives_over_steps(
        weights, key, np.exp(2 * key), *(f(2 * step)[None] for f in (np.exp, np.expm1)), *sums
    )
    np.testing.assert_allclose(sums[1], np.tanh(key.astype(np.float64) + step), rtol=1e-6, atol=2e-7 * size)
