"""What both forms of attention have in common: a softmax over scores, and a weighted mean."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.gradcheck.trees import as_float32

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
    """Of sums in float32 whose terms, up to 10, may cancel."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=4e-6 * max(1, np.abs(expected).max()))


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


# --- bad input -------------------------------------------------------------------------------------------------------


def misaligned(array):
    odd = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    odd[...] = array
    assert not odd.flags.aligned or array.itemsize == 1
    return odd


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def backwards(array):
    return np.ascontiguousarray(array[..., ::-1])[..., ::-1]


@pytest.mark.parametrize("name", ["additive_attention", "dot_product_attention"])
@pytest.mark.parametrize("layout", [misaligned, read_only, backwards, np.asfortranarray])
def test_any_layout_gives_the_same_bits(name, layout):
    arguments, dy, mask = inputs(name), (normal(N, D), normal(N, L)), rng.random((N, L)) < 0.7
    mask[:, 1] = True
    z, alpha, grads = run(name, "numba_cpu", arguments, dy, mask)
    laid_out = run(name, "numba_cpu", [*map(layout, arguments)], tuple(map(layout, dy)), layout(mask))
    for got, expected in zip((*laid_out[:2], *laid_out[2]), (z, alpha, *grads), strict=True):
        assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["additive_attention", "dot_product_attention"])
@pytest.mark.parametrize("dtype", [">f4", np.float64, np.float16])
def test_what_is_not_plain_float32_goes_to_the_reference(name, dtype):
    x, keys, *others = inputs(name)
    operation = getattr(ops, name)
    assert "reference" in operation.explain(x, keys.astype(dtype), *others)
    (z, alpha), _ = operation.forward(x, keys.astype(dtype), *others)
    (z_exact, alpha_exact), _ = operation.forward(*(a.astype(np.float64) for a in (x, keys, *others)))
    np.testing.assert_allclose(z, z_exact, atol=2e-3)  # float16 keeps three digits of a key
    np.testing.assert_allclose(alpha, alpha_exact, atol=2e-3)


@every
def test_keys_may_be_the_regions_themselves(name, variant):
    x, _, query, learnt = inputs(name)
    x = normal(N, L, K)
    dy = normal(N, K), normal(N, L)
    shared, copied = (run(name, variant, [x, keys, query, learnt], dy) for keys in (x, x.copy()))
    for got, expected in zip((*shared[:2], *shared[2]), (*copied[:2], *copied[2]), strict=True):
        assert got.tobytes() == expected.tobytes()


@every
def test_there_must_be_a_region(name, variant):
    with pytest.raises(ValueError, match="^there is nothing to look at: L, the number of regions, is 0$"):
        run(name, variant, inputs(name, size=0))


@every
@pytest.mark.parametrize("width", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("size", [1, 3, 4, 5, 17])
def test_widths_and_counts_around_a_vector(name, variant, width, size):
    """Against float64, for as many regions and numbers as fill vectors and blocks, and one more or fewer."""
    learnt = normal(width) if name == "additive_attention" else normal(width, width) / np.float32(width)
    arguments = [normal(N, size, width), normal(N, size, width), normal(N, width), learnt]
    dy = normal(N, width), normal(N, size)
    z, alpha, grads = run(name, variant, arguments, dy)
    exact = run(name, "reference", [a.astype(np.float64) for a in arguments], tuple(d.astype(np.float64) for d in dy))
    for got, expected in zip((z, alpha, *grads), (*exact[:2], *exact[2]), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))


@every
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_nan_and_infinity_spread_as_in_float64(name, variant, value, which):
    """To the picture that has it, and to no other; at one number of x, of the keys, or of the query."""
    arguments = inputs(name)
    arguments[3][...] = np.abs(arguments[3])
    arguments[1][...], arguments[2][...] = np.abs(arguments[1]), np.abs(arguments[2])  # no 0 · ∞, no ∞ - ∞
    arguments[which][1].flat[2] = value
    module = getattr(ops, name).variant(variant)
    with np.errstate(invalid="ignore"):
        y, _ = module.forward(*arguments)
        expected, _ = getattr(ops, name).variant("reference").forward(*(a.astype(np.float64) for a in arguments))
    for got, exact in zip(y, expected, strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
        np.testing.assert_allclose(got, exact, atol=2e-6)
        assert not np.isnan(got[[0, 2]]).any()


MASKED = [
    (name, variant)
    for name in ("additive_attention", "dot_product_attention", "attention_lstm")
    for variant in ("reference", "numba_cpu", "cuda")
]
masked = pytest.mark.parametrize(("name", "variant"), MASKED)


def look(name, variant, mask):
    """alpha and z with this mask, of one batch for each room."""
    case = getattr(ops, name).room.cases(np.random.default_rng(0))["mask"]
    outputs, _ = getattr(ops, name).variant(variant).forward(**as_float32(case) | {"mask": mask})
    return (outputs[2], outputs[1]) if name == "attention_lstm" else (outputs[1], outputs[0])


MASK = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]])


@masked
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32, np.float64])
def test_a_mask_is_bool_or_0_and_1(name, variant, dtype):
    for got, expected in zip(look(name, variant, MASK.astype(dtype)), look(name, variant, MASK > 0), strict=True):
        np.testing.assert_array_equal(got, expected)


@masked
@pytest.mark.parametrize(
    "added", [np.where(MASK > 0, 0, -np.inf), -1e9 * (1 - MASK), 2 * MASK, np.where(MASK > 0, 1, np.nan)]
)
def test_a_mask_that_is_added_to_scores_is_refused(name, variant, added):
    """Taken for truth values, 0 and -inf would turn the attention round."""
    with pytest.raises(ValueError, match="mask must be bool, or 0 and 1 .*mask == 0"):
        look(name, variant, added.astype(np.float32))


@masked
def test_a_row_that_may_look_nowhere_has_weights_and_context_of_zero(name, variant):
    """It gave NaN. (What it sends back is checked among the cases of each room.)"""
    nowhere = MASK > 0
    nowhere[1] = False
    alpha, z = look(name, variant, nowhere)
    assert not alpha[..., 1, :].any()
    assert not z[..., 1, :].any()
    others, _ = look(name, variant, MASK > 0)
    np.testing.assert_array_equal(alpha[..., [0, 2], :], others[..., [0, 2], :])
