"""Softmax: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.ops import log_softmax, softmax

cuda = pytest.param("cuda", marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not())))
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
rng = np.random.default_rng(0)


def run(variant, logits, mask=None):
    with np.errstate(invalid="ignore"):
        return softmax.variant(variant).forward(np.asarray(logits, np.float32), mask, train=False)[0]


@variants
@pytest.mark.parametrize(("N", "V"), [(1, 1), (1, 10_007), (2, 31), (5, 97), (0, 3), (3, 1025)])
@pytest.mark.parametrize("scale", [1, 30, 200, 1e4])
def test_it_follows_its_definition(variant, N, V, scale):
    logits = (scale * rng.standard_normal((N, V))).astype(np.float32)
    z = logits - logits.max(axis=1, keepdims=True)  # in float32: what is far below the largest is rounded by that
    e = np.exp(z.astype(np.float64))
    y = run(variant, logits)
    np.testing.assert_allclose(y, e / e.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-37)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=2e-6)


@variants
@pytest.mark.parametrize("V", [5, 40, 13_001])  # a longer row does not fit into shared memory
def test_masked_classes_might_as_well_not_be_there(variant, V):
    """Not even NaN and infinity are seen through a mask."""
    logits, mask = rng.standard_normal((4, V)).astype(np.float32), rng.random((4, V)) < 0.5
    mask[:, 0], mask[3] = True, False
    y = run(variant, np.where(mask, logits, rng.choice([np.nan, np.inf, 1e30], logits.shape)), mask)
    assert (y[~mask] == 0).all()
    for row in range(3):
        np.testing.assert_allclose(y[row, mask[row]], run("reference", logits[row, mask[row]]), rtol=1e-6)
    np.testing.assert_array_equal(run(variant, logits, mask.astype(np.int64)), run(variant, logits, mask))


@variants
@pytest.mark.parametrize("V", [40, 13_001])
def test_nan_and_infinity_spoil_their_own_row(variant, V):
    logits = np.zeros((5, V), np.float32)
    logits[0, 3], logits[1, 39], logits[2, 7], logits[3] = np.nan, np.inf, -np.inf, -np.inf
    y = run(variant, logits)
    assert np.isnan(y[:2]).any(axis=1).all()
    assert np.isnan(y[0]).all()
    assert y[2, 7] == 0
    np.testing.assert_allclose(np.delete(y[2], 7), 1 / (V - 1), rtol=1e-6)
    assert (y[3] == 0).all()  # no class may be
    np.testing.assert_allclose(y[4], 1 / V, rtol=1e-6)


def test_a_row_does_not_depend_on_the_rows_beside_it():
    module, (logits, dy) = softmax.variant("numba_cpu"), rng.standard_normal((2, 6, 101)).astype(np.float32)
    y, cache = module.forward(logits)
    (dlogits,) = module.backward(dy, cache)
    for n in range(6):
        alone, cache = module.forward(logits[n : n + 1])
        assert alone.tobytes() == y[n].tobytes()
        assert module.backward(dy[n : n + 1], cache)[0].tobytes() == dlogits[n].tobytes()


@variants
def test_what_may_not_be_written_is_read(variant):
    logits = rng.standard_normal((4, 37)).astype(np.float32)
    expected = run(variant, logits)
    logits.flags.writeable = False
    np.testing.assert_array_equal(run(variant, logits), expected)


@variants
def test_a_constant_gradient_goes_nowhere(variant):
    """So each row of the gradient adds up to zero, and a check with dy of ones would see nothing."""
    module = softmax.variant(variant)
    _, cache = module.forward(rng.standard_normal((4, 37)).astype(np.float32))
    dy = rng.standard_normal((4, 37)).astype(np.float32)
    np.testing.assert_allclose(module.backward(np.full_like(dy, 3), cache)[0], 0, atol=1e-6)
    np.testing.assert_allclose(module.backward(dy, cache)[0].sum(axis=1), 0, atol=1e-6)


@variants
def test_it_is_what_log_softmax_is_the_logarithm_of(variant):
    logits, dy = rng.standard_normal((2, 6, 11)).astype(np.float32)
    y, cache = softmax.variant(variant).forward(logits)
    log_y, log_cache = log_softmax.forward(logits)
    np.testing.assert_allclose(np.log(y), log_y, rtol=1e-5, atol=1e-6)
    (dlogits,) = softmax.variant(variant).backward(dy, cache)
    np.testing.assert_allclose(dlogits, log_softmax.backward(dy * y, log_cache)[0], rtol=0, atol=1e-6)


@variants
def test_what_does_not_fit_is_named(variant):
    with pytest.raises(ValueError, match="no class: V is 0"):
        run(variant, np.zeros((3, 0)))
    with pytest.raises(ValueError, match=r"^mask has the shape \(3, 1\); logits \(3, 4\) need \(3, 4\)$"):
        run(variant, np.zeros((3, 4)), np.ones((3, 1), bool))
    with pytest.raises(ValueError, match="mask must be bool, or 0 and 1"):
        run(variant, np.zeros((3, 4)), np.full((3, 4), -np.inf))
