"""Stochastic gradient descent: its variants against each other, and against what the equation says."""

import copy

import numpy as np
import pytest

from scratchlv.ops import sgd

variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
CASES = sgd.room.cases(np.random.default_rng(0))


def after(variant, case, dtype, start=np.float64):
    """params after a step that starts from numbers rounded to ``start``."""
    arguments = {
        k: v.astype(start).astype(dtype) if isinstance(v, np.ndarray) else v
        for k, v in copy.deepcopy(CASES[case]).items()
    }
    assert sgd.variant(variant).step(**arguments) is None
    return arguments["params"]


@pytest.mark.parametrize("case", CASES)
def test_a_variant_is_as_accurate_as_the_reference_in_float32(case):
    exact = after("reference", case, np.float64, start=np.float32)
    plain, got = after("reference", case, np.float32), after("numba_cpu", case, np.float32)
    assert got.dtype == np.float32
    allowed = 2 * np.abs(plain - exact).max(initial=0) + 4 * np.spacing(np.float32(np.abs(exact).max(initial=0)))
    assert np.abs(got - exact).max(initial=0) <= allowed


@pytest.mark.parametrize("case", CASES)
def test_both_variants_agree_in_float64(case):
    np.testing.assert_allclose(
        after("numba_cpu", case, np.float64), after("reference", case, np.float64), rtol=1e-13, atol=1e-15
    )


@variants
def test_a_step_is_lr_times_the_scaled_gradient_and_the_decay(variant):
    params = np.array([1.0, -100.0])
    sgd.variant(variant).step(params, np.array([2.0, 4.0]), lr=0.5, grad_scale=0.25, weight_decay=0.1)
    np.testing.assert_allclose(params, [1 - 0.25 - 0.05, -100 - 0.5 + 5])


@variants
def test_the_gradient_is_left_alone_and_nan_spreads(variant):
    params, grads = np.ones(5, np.float32), np.float32([1, np.nan, 2, np.inf, 3])
    before = grads.copy()
    sgd.variant(variant).step(params, grads, lr=0.1)
    np.testing.assert_array_equal(grads, before)
    np.testing.assert_array_equal(np.isfinite(params), [True, False, True, False, True])


def test_arrays_that_cannot_be_updated_in_place_are_refused():
    step, grads = sgd.variant("numba_cpu").step, np.ones(5, np.float32)
    frozen = np.ones(5, np.float32)
    frozen.flags.writeable = False
    misaligned = np.zeros(21, np.uint8)[1:].view(np.float32)
    for params, match in (
        (np.ones((5, 2), np.float32)[:, 0], "params is not contiguous"),
        (misaligned, "params is not contiguous and aligned"),
        (frozen, "params is read-only"),
        (np.ones(5), "grads is float32; it serves arrays that are all"),
        (np.ones(4, np.float32), r"grads has the shape \(5,\), and params \(4,\)"),
    ):
        with pytest.raises(ValueError, match=match):
            step(params, grads, lr=0.1)
    assert "byte" not in (sgd.variant("numba_cpu").limits(np.ones(5, ">f4"), grads) or "byte")  # refused, by its dtype
