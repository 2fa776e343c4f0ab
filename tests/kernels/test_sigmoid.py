"""Logistic sigmoid: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import ORDERS, turns, why_not
from scratchlv.ops import sigmoid, tanh

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
cuda = pytest.param("cuda", marks=needs_compiler)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
NAN, INF = float("nan"), float("inf")


@variants
@pytest.mark.filterwarnings("error")
def test_value_and_slope_at_the_ends(variant):
    module = sigmoid.variant(variant)
    y, cache = module.forward(np.float32([-INF, -1e4, -0.0, 0, 1e4, INF, NAN]))
    np.testing.assert_array_equal(y, np.float32([0, 0, 0.5, 0.5, 1, 1, NAN]))
    (dx,) = module.backward(np.ones_like(y), cache)
    np.testing.assert_array_equal(dx, np.float32([0, 0, 0.25, 0.25, 0, 0, NAN]))


@variants
def test_what_is_nearly_closed_keeps_its_digits(variant):
    x = np.linspace(-80, 20, 1001, dtype=np.float32)
    exact = 1 / (1 + np.exp(-x.astype(np.float64)))
    np.testing.assert_allclose(sigmoid.variant(variant).forward(x)[0], exact, rtol=5e-7)


@variants
def test_it_is_tanh_in_other_units(variant):
    x = np.linspace(-9, 9, 1001, dtype=np.float32)
    y, of_tanh = sigmoid.variant(variant).forward(x)[0], tanh.variant(variant).forward(x / 2)[0]
    np.testing.assert_allclose(2 * y - 1, of_tanh, rtol=0, atol=4e-7)


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("odd", ["x", "dy"])
@pytest.mark.parametrize("size", [1, 3, 4, 1021])
def test_cuda_serves_arrays_at_any_address(size, odd, order):
    """Also at one where no float4 can be read."""
    given = dict(zip(("x", "dy"), np.random.default_rng(0).standard_normal((2, size)).astype(np.float32), strict=True))
    roomy = np.empty(size + 8, np.float32)
    start = next(k for k in range(4) if roomy[k:].ctypes.data % 16 == 4)
    at_an_odd_address = roomy[start : start + size]
    at_an_odd_address[...] = given[odd]
    given[odd] = at_an_odd_address
    with turns(order, seed=3):
        y, cache = sigmoid.variant("cuda").forward(given["x"])
        (dx,) = sigmoid.variant("cuda").backward(given["dy"], cache)
    exact = 1 / (1 + np.exp(-given["x"].astype(np.float64)))
    np.testing.assert_allclose(y, exact, rtol=0, atol=4e-7)
    np.testing.assert_allclose(dx, given["dy"] * exact * (1 - exact), rtol=0, atol=2e-6)


@pytest.mark.parametrize("variant", ["numba_cpu", cuda])
def test_a_gradient_of_another_shape_is_refused(variant):
    module = sigmoid.variant(variant)
    _, cache = module.forward(np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match=r"dy has the shape \(4, 3\)"):
        module.backward(np.zeros((4, 3), np.float32), cache)
