"""Rectified linear unit: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.ops import relu

cuda = pytest.param("cuda", marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not())))
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
NAN, INF = float("nan"), float("inf")


@variants
@pytest.mark.parametrize(
    ("cap", "y", "dx"),
    [
        (None, [0, 0, 0, 0, 0.5, 2, 3, INF, NAN], [0, 0, 0, 0, 1, 1, 1, 1, 1]),
        (2.0, [0, 0, 0, 0, 0.5, 2, 2, 2, NAN], [0, 0, 0, 0, 1, 0, 0, 0, 1]),
    ],
)
def test_value_and_slope_everywhere(variant, cap, y, dx):
    """At both kinks the slope is 0."""
    module = relu.variant(variant)
    got, cache = module.forward(np.float32([-INF, -3, -0.0, 0, 0.5, 2, 3, INF, NAN]), cap=cap)
    np.testing.assert_array_equal(got, np.float32(y))
    (slope,) = module.backward(np.ones_like(got), cache)
    np.testing.assert_array_equal(slope, np.float32(dx))


@variants
@pytest.mark.parametrize("cap", [None, 2.0])
def test_twice_is_as_once(variant, cap):
    module = relu.variant(variant)
    y, _ = module.forward(np.random.default_rng(0).uniform(-4, 4, (3, 5, 7)).astype(np.float32), cap=cap)
    np.testing.assert_array_equal(module.forward(y, cap=cap)[0], y)


@variants
def test_no_gradient_leaks_where_the_slope_is_zero(variant):
    """Not even an infinite one: it is left out, not multiplied by zero."""
    module = relu.variant(variant)
    _, cache = module.forward(np.float32([-1, 1, 7]), cap=6.0)
    (dx,) = module.backward(np.float32([INF, INF, NAN]), cache)
    np.testing.assert_array_equal(dx, np.float32([0, INF, 0]))
