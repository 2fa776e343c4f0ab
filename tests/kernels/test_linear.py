"""Linear: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.ops import linear

rng = np.random.default_rng(0)
cuda = pytest.param("cuda", marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not())))
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])


def whole(*shape):
    """Whole numbers, whose sums are exact in any order."""
    return rng.integers(-9, 10, shape).astype(np.float32)


@variants
@pytest.mark.parametrize("leading", [(), (6,), (2, 3), (3, 2, 1, 2)])
def test_all_rows_are_treated_alike(variant, leading):
    module = linear.variant(variant)
    x, W, b, dy = whole(*leading, 5), whole(5, 4), whole(4), whole(*leading, 4)
    y, cache = module.forward(x, W, b)
    dx, dW, db = module.backward(dy, cache)
    assert y.shape == dy.shape
    assert dx.shape == x.shape
    dW_sum, db_sum = np.zeros_like(W), np.zeros_like(b)
    for row in np.ndindex(leading):
        np.testing.assert_array_equal(y[row], x[row] @ W + b)
        np.testing.assert_array_equal(dx[row], W @ dy[row])
        dW_sum += np.outer(x[row], dy[row])
        db_sum += dy[row]
    np.testing.assert_array_equal(dW, dW_sum)
    np.testing.assert_array_equal(db, db_sum)


@variants
def test_without_a_bias_there_is_no_gradient_of_one(variant):
    module = linear.variant(variant)
    x, W = whole(3, 5), whole(5, 4)
    y, cache = module.forward(x, W)
    np.testing.assert_array_equal(y, module.forward(x, W, np.zeros(4, np.float32))[0])
    assert module.backward(y, cache)[2] is None


@variants
@pytest.mark.parametrize("leading", [(6,), (2, 3)])
def test_dx_is_added_to_what_is_known_of_it(variant, leading):
    module = linear.variant(variant)
    x, W, dy, before = whole(*leading, 5), whole(5, 4), whole(*leading, 4), whole(*leading, 5)
    _, cache = module.forward(x, W)
    total = before.copy()
    dx, *others = module.backward(dy, cache, dx=total)
    expected, *same = module.backward(dy, cache)
    np.testing.assert_array_equal(dx, before + expected)
    assert np.shares_memory(dx, total)
    np.testing.assert_array_equal(others[0], same[0])
    with pytest.raises(ValueError, match="^dx has the shape"):
        module.backward(dy, cache, dx=before[:-1])


def test_the_bias_gradient_of_many_rows_is_summed_in_float64():
    """A million equal terms, added in float32 one after the other, would be off in the fourth digit."""
    x, dy = np.ones((1_000_000, 1), np.float32), np.full((1_000_000, 1), 0.1, np.float32)
    module = linear.variant("numba_cpu")
    _, cache = module.forward(x, np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    assert module.backward(dy, cache)[2].item() == pytest.approx(1e6 * np.float64(np.float32(0.1)), rel=1e-7)


@variants
@pytest.mark.parametrize(("W", "b"), [((4, 2), (2,)), ((5, 2), (3,))])
def test_shapes_that_do_not_fit_are_refused(variant, W, b):
    with pytest.raises(ValueError, match=r"multiply|mismatch|bias|broadcast"):
        linear.variant(variant).forward(whole(3, 5), whole(*W), whole(*b))


@variants
def test_data_gets_no_gradient(variant):
    module = linear.variant(variant)
    x, W, b, dy = whole(2, 3, 5), whole(5, 4), whole(4), whole(2, 3, 4)
    y, cache = module.forward(x, W, b)
    y_of_data, cache_of_data = module.forward(x, W, b, need_dx=False)
    np.testing.assert_array_equal(y_of_data, y)
    dx, *dweights = module.backward(dy, cache_of_data)
    assert dx is None
    for found, expected in zip(dweights, module.backward(dy, cache)[1:], strict=True):
        np.testing.assert_array_equal(found, expected)
