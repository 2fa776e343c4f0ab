"""What both forms of attention have in common: a softmax over scores, and a weighted mean."""

import numpy as np
import pytest

from scratchlv import ops

rng = np.random.default_rng(0)
N, L, D, K = 3, 7, 4, 5
EVERY = [
    (name, variant)
    for name in ("additive_attention", "dot_product_attention")
    for variant in ("reference", "numba_cpu")
]
every = pytest.mark.parametrize(("name", "variant"), EVERY)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def inputs(name, size=L):
    """The last of them is what the score is learnt by: v, or W."""
    learnt = normal(K) if name == "additive_attention" else normal(K, K)
    return [normal(N, size, D), normal(N, size, K), normal(N, K), learnt]


def run(name, variant, arguments, dy=None, mask=None):
    module = getattr(ops, name).variant(variant)
    (z, alpha), cache = module.forward(*arguments, mask=mask)
    return z, alpha, module.backward((normal(N, D), normal(N, alpha.shape[1])) if dy is None else dy, cache)


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * max(1, np.abs(expected).max()))


@every
def test_alpha_is_a_distribution_and_z_its_mean(name, variant):
    arguments = inputs(name)
    z, alpha, _ = run(name, variant, arguments)
    assert (alpha > 0).all()
    assert_close(alpha.sum(1), np.ones(N))
    assert_close(z, np.einsum("nl,nld->nd", alpha, arguments[0]))


@every
def test_with_one_region_there_is_nothing_to_choose(name, variant):
    arguments, dz = inputs(name, size=1), normal(N, D)
    z, alpha, (dx, *others) = run(name, variant, arguments, (dz, normal(N, 1)))
    np.testing.assert_array_equal(alpha, np.ones((N, 1)))
    np.testing.assert_array_equal(z, arguments[0][:, 0])
    np.testing.assert_array_equal(dx[:, 0], dz)
    for gradient in others:
        assert not gradient.any()


@every
def test_equal_keys_are_looked_at_equally(name, variant):
    arguments = inputs(name)
    arguments[1][:] = arguments[1][:, :1]
    z, alpha, _ = run(name, variant, arguments)
    assert_close(alpha, np.full((N, L), 1 / L))
    assert_close(z, arguments[0].mean(1))


@every
def test_a_masked_region_might_as_well_not_be_there(name, variant):
    x, keys, query, learnt = inputs(name)
    mask = np.ones((N, L), bool)
    mask[:, [0, 3]] = False
    dy = normal(N, D), normal(N, L)
    z, alpha, grads = run(name, variant, [x, keys, query, learnt], dy, mask)
    assert not alpha[:, [0, 3]].any()
    assert not grads[0][:, [0, 3]].any()
    assert not grads[1][:, [0, 3]].any()
    kept = np.flatnonzero(mask[0])
    fewer = [np.ascontiguousarray(array[:, kept]) for array in (x, keys)]
    z_kept, alpha_kept, grads_kept = run(name, variant, [*fewer, query, learnt], (dy[0], dy[1][:, kept]))
    assert_close(z, z_kept)
    assert_close(alpha[:, kept], alpha_kept)
    for gradient, expected in zip([grads[0][:, kept], grads[1][:, kept], *grads[2:]], grads_kept, strict=True):
        assert_close(gradient, expected)


@every
def test_each_row_has_its_own_mask(name, variant):
    mask = np.eye(L, dtype=bool)[[4, 0, 6]]
    arguments = inputs(name)
    z, alpha, _ = run(name, variant, arguments, mask=mask)
    np.testing.assert_array_equal(alpha, mask)
    np.testing.assert_array_equal(z, arguments[0][mask])


@every
def test_regions_have_no_order(name, variant):
    (x, keys, query, learnt), (dz, dalpha), order = inputs(name), (normal(N, D), normal(N, L)), rng.permutation(L)
    z, alpha, (dx, dkeys, *others) = run(name, variant, [x, keys, query, learnt], (dz, dalpha))
    moved = [x[:, order], keys[:, order], query, learnt]
    z_moved, alpha_moved, (dx_moved, dkeys_moved, *others_moved) = run(name, variant, moved, (dz, dalpha[:, order]))
    assert_close(z_moved, z)
    assert_close(alpha_moved, alpha[:, order])
    assert_close(dx_moved, dx[:, order])
    assert_close(dkeys_moved, dkeys[:, order])
    for gradient, expected in zip(others_moved, others, strict=True):
        assert_close(gradient, expected)


@every
@pytest.mark.parametrize("sign", [1, -1])
def test_scores_of_1e4_do_not_overflow(name, variant, sign):
    """One region whose score is thousands above, or below, all others."""
    keys = np.zeros((N, L, K), np.float32)
    keys[:, 2, 0] = 100
    learnt = np.zeros(K, np.float32) if name == "additive_attention" else np.eye(K, dtype=np.float32)
    learnt.flat[0] = sign * (1e4 if name == "additive_attention" else 100)
    query = np.zeros((N, K), np.float32)
    query[:, 0] = 1
    _, alpha, grads = run(name, variant, [normal(N, L, D), keys, query, learnt])
    others = np.arange(L) != 2
    expected = np.eye(L)[2] if sign > 0 else others / (L - 1)
    np.testing.assert_allclose(alpha, np.broadcast_to(expected, alpha.shape), atol=1e-6)
    for gradient in grads:
        assert np.isfinite(gradient).all()


@every
def test_an_output_that_nobody_uses_has_no_gradient(name, variant):
    arguments, dz, dalpha = inputs(name), normal(N, D), normal(N, L)
    for given, zeros in [((dz, None), (dz, 0 * dalpha)), ((None, dalpha), (0 * dz, dalpha))]:
        grads, expected_grads = (run(name, variant, arguments, dy)[2] for dy in (given, zeros))
        for gradient, expected in zip(grads, expected_grads, strict=True):
            np.testing.assert_array_equal(gradient, expected)
