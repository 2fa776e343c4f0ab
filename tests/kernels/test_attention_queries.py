"""Both forms of attention with several queries for the same keys: as one after the other, and what only several can have."""

import tracemalloc

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import why_not
from scratchlv.kernels.additive_attention.queries import AT_ONCE

ROOMS = ("additive_attention", "dot_product_attention")
cuda = pytest.param("cuda", marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not())))
rooms = pytest.mark.parametrize("name", ROOMS)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
N, T, L, D, A = 2, 3, 5, 4, 6


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def inputs(name, rng, N=N, T=T, L=L, D=D, A=A, dtype=np.float32):
    given = {"x": (N, L, D), "keys": (N, L, A), "query": (N, T, A)}
    given |= {"v": (A,)} if name == "additive_attention" else {"W": (A, A)}
    given = {key: rng.standard_normal(shape).astype(dtype) for key, shape in given.items()}
    given[list(given)[-1]] /= dtype(A**0.5)
    return given


def run(name, variant, given, dy=None, **settings):
    """Outputs and gradients; the output gradients are drawn unless given."""
    module, rng = getattr(ops, name).variant(variant), np.random.default_rng(1)
    y, cache = module.forward(**given, **settings)
    dtype = given["x"].dtype
    dy = tuple(rng.standard_normal(part.shape).astype(dtype) for part in y) if dy is None else dy
    return y, module.backward(dy, cache)


def assert_close(got, expected, atol=3e-6):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol * max(1, np.abs(b).max(initial=0)))


def in_float64(name, given, **settings):
    """What the reference makes of it, with the output gradients of :func:`run`."""
    y, cache = getattr(ops, name).variant("reference").forward(**as_float64(given), **settings)
    rng = np.random.default_rng(1)
    dy = tuple(rng.standard_normal(part.shape).astype(np.float32).astype(np.float64) for part in y)
    return y, getattr(ops, name).variant("reference").backward(dy, cache)


def as_float64(given):
    return {key: value.astype(np.float64) for key, value in given.items()}


@rooms
@variants
@pytest.mark.parametrize("masks", [None, 1, T])
def test_several_queries_are_as_one_after_the_other(name, variant, masks, rng):
    given = inputs(name, rng)
    mask = None if masks is None else rng.random((N, masks, L)) < 0.6
    if masks:
        mask[0, 0] = False  # and one may look nowhere
    one_mask = mask[:, 0] if masks == 1 else mask
    y, grads = run(name, variant, given, mask=one_mask)
    rng = np.random.default_rng(1)
    dz, dalpha = (rng.standard_normal(part.shape).astype(np.float32) for part in y)
    sums = [0, 0, None, 0]
    for t in range(T):
        of_t = None if mask is None else mask[:, t if masks == T else 0]
        given_t, dy_t = given | {"query": given["query"][:, t]}, (dz[:, t], dalpha[:, t])
        y_t, grads_t = run(name, variant, given_t, dy_t, mask=of_t)
        assert_close([part[:, t] for part in y], y_t)
        assert_close([grads.dquery[:, t]], [grads_t.dquery])
        sums = [None if k == 2 else sums[k] + grads_t[k] for k in range(4)]
    assert_close([grads[k] for k in (0, 1, 3)], [sums[k] for k in (0, 1, 3)])


@rooms
@pytest.mark.parametrize("T", [1, AT_ONCE - 1, AT_ONCE + 1])
@pytest.mark.parametrize("L", [1, AT_ONCE, 2 * AT_ONCE + 3])
@pytest.mark.parametrize("settings", [{}, {"causal": True, "offset": 2}, {"causal": True, "scores": True}])
def test_counts_around_a_block(name, T, L, settings, rng):
    """In numba_cpu, where queries and keys are taken in blocks, and a causal block leaves out the keys that none of it sees."""
    given = inputs(name, rng, T=T, L=L, D=3, A=5)
    (y, grads), (exact, exact_grads) = run(name, "numba_cpu", given, **settings), in_float64(name, given, **settings)
    assert_close([*y, *grads], [*exact, *exact_grads], 1e-5)


@rooms
@variants
@pytest.mark.parametrize(("L", "offset"), [(L, 0), (T, 0), (2, 0), (L, L - T), (2, 2 - T), (L, 100), (L, -100)])
def test_a_causal_query_looks_no_further_than_its_place(name, variant, L, offset, rng):
    """The first at the first key, without an offset; with L - T the last at the last one."""
    given = inputs(name, rng, L=L)
    seen = np.arange(L) <= np.arange(T)[:, None] + offset
    (z, alpha), grads = run(name, variant, given, causal=True, offset=offset)
    np.testing.assert_array_equal(alpha > 0, np.broadcast_to(seen, (N, T, L)))
    np.testing.assert_allclose(alpha.sum(2), np.broadcast_to(seen.any(1), (N, T)), atol=1e-6)
    by_mask, grads_by_mask = run(name, variant, given, mask=np.broadcast_to(seen, (N, T, L)))
    assert_close([z, alpha, *grads], [*by_mask, *grads_by_mask])
    mask = rng.random((N, L)) < 0.7
    both, _ = run(name, variant, given, mask=mask, causal=True, offset=offset)
    expected, _ = run(name, variant, given, mask=mask[:, None] & seen)
    assert_close(both, expected)


@rooms
@variants
def test_what_comes_later_changes_no_bit_of_what_was(name, variant, rng):
    given = inputs(name, rng, T=L)
    y, _ = run(name, variant, given, causal=True)
    later = given | {key: given[key].copy() for key in ("x", "keys")}
    for key in ("x", "keys"):
        later[key][:, -1] += 1
    y_later, _ = run(name, variant, later, causal=True)
    for before, after in zip(y, y_later, strict=True):
        np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
        assert (before[:, -1] != after[:, -1]).any()


@rooms
@variants
@pytest.mark.parametrize("several", [True, False])
def test_the_scores_are_those_before_the_softmax_and_before_the_mask(name, variant, several, rng):
    given = inputs(name, rng)
    if not several:
        given["query"] = given["query"][:, 0]
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
    (z, alpha, e), _ = run(name, variant, given, mask=mask, scores=True)
    (_, _, unmasked), _ = run(name, variant, given, scores=True)
    np.testing.assert_allclose(e, unmasked, atol=1e-6)
    expected = np.where(mask[:, None] if several else mask, np.exp(e), 0)
    expected /= np.maximum(expected.sum(-1, keepdims=True), 1e-30)
    assert_close([alpha], [expected])
    without, _ = run(name, variant, given, mask=mask)
    assert_close([z, alpha], without, 1e-6)
    assert len(without) == 2


@rooms
@variants
def test_a_gradient_of_the_scores_passes_the_softmax_by(name, variant, rng):
    """It reaches keys that nobody looked at; and any of the three may be None."""
    given, mask = inputs(name, rng), np.zeros((N, L), bool)
    mask[0] = True
    module = getattr(ops, name).variant(variant)
    y, cache = module.forward(**given, mask=mask, causal=True, scores=True)
    dz, dalpha, de = (rng.standard_normal(part.shape).astype(np.float32) for part in y)
    of_scores = module.backward((None, None, de), cache)
    assert not of_scores.dx.any()
    assert of_scores.dkeys[1].all()
    zeros = module.backward((0 * dz, 0 * dalpha, de), cache)
    assert_close(of_scores, zeros, 0)
    of_others, of_all = module.backward((dz, dalpha, None), cache), module.backward((dz, dalpha, de), cache)
    assert not of_others.dkeys[1].any()
    assert_close(of_all, [a + b for a, b in zip(of_scores, of_others, strict=True)])


@variants
def test_dx_is_added_to_what_is_known_of_it(variant, rng):
    given = inputs("additive_attention", rng)
    module = ops.additive_attention.variant(variant)
    y, cache = module.forward(**given)
    known = rng.standard_normal(given["x"].shape).astype(np.float32)
    expected = known + module.backward(y, cache).dx
    np.testing.assert_allclose(module.backward(y, cache, dx=known.copy()).dx, expected, atol=1e-6)


def strided(array):
    roomy = np.empty((*array.shape, 2), array.dtype)
    roomy[..., 0] = array
    return roomy[..., 0]


@rooms
@pytest.mark.parametrize("layout", [np.asfortranarray, strided])
@pytest.mark.parametrize("masks", [1, T])
def test_any_layout_gives_the_same_bits(name, layout, masks, rng):
    given, mask = inputs(name, rng), rng.random((N, masks, L)) < 0.8
    mask = mask[:, 0] if masks == 1 else mask
    y, grads = run(name, "numba_cpu", given, mask=mask)
    laid_out = {key: layout(value) for key, value in given.items()}
    dy_of = np.random.default_rng(1)
    dy = tuple(layout(dy_of.standard_normal(part.shape).astype(np.float32)) for part in y)
    y_again, grads_again = run(name, "numba_cpu", laid_out, dy, mask=layout(mask))
    for got, expected in zip([*y_again, *grads_again], [*y, *grads], strict=True):
        assert got.tobytes() == expected.tobytes()


@rooms
@pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
def test_neither_keys_nor_regions_are_copied_for_each_query(name, variant, rng):
    """Forward and backward together ask for less than a quarter of an (N, T, L, A) array beyond what they return."""
    given = inputs(name, rng, N=1, T=40, L=48, D=96, A=96)
    run(name, variant, given)  # compiles
    tracemalloc.start()
    y, grads = run(name, variant, given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    returned = sum(array.nbytes for array in (*y, *grads))
    assert peak - returned < 40 * 48 * 96 * 4 / 4


@rooms
@variants
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"query": np.zeros((N, T, A - 1), "f")}, "query|keys have 6 numbers and the query 5"),
        ({"query": np.zeros((N + 1, T, A), "f")}, r"query has the shape \(3, 3, 6\).*need \(2, 3, 6\)"),
        ({"query": np.zeros((N, 0, A), "f")}, "^nobody looks: T, the number of queries, is 0$"),
        (
            {"query": np.zeros((N, A), "f"), "causal": True},
            r"^causal is said of several queries; give them as \(N, T, A\)",
        ),
        ({"offset": 2}, "^offset is 2, and says where queries stand among the keys if causal=True alone$"),
        ({"causal": True, "offset": 0.5}, "^offset is 0.5; it must be a whole number of keys$"),
        ({"causal": True, "offset": True}, "^offset is True; it must be a whole number of keys$"),
        ({"mask": np.ones((N, T - 1, L), bool)}, r"mask has the shape \(2, 2, 5\).*need \(2, 3, 5\)"),
        ({"mask": np.ones((N, L - 1), bool)}, r"mask has the shape \(2, 4\).*need \(2, 5\)"),
        (
            {"mask": np.ones((N, 1, L), bool), "query": np.zeros((N, A), "f")},
            r"mask has the shape \(2, 1, 5\).*need \(2, 5\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(name, variant, changed, message, rng):
    given = inputs(name, rng) | changed
    if "query" in changed and given["query"].shape[-1] != A:
        given.pop("W", None)
    with pytest.raises(ValueError, match=message):
        getattr(ops, name).variant(variant).forward(**given)
