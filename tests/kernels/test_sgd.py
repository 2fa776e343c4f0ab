"""Stochastic gradient descent: its variants against each other, and against what the equation says."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import ORDERS, turns, why_not
from scratchlv.cuda.versions import use_version
from scratchlv.gradcheck import compare_step
from scratchlv.ops import sgd

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
cuda = pytest.param("cuda", marks=needs_compiler)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
doubles = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])  # that serve float64
CASES = sgd.room.cases(np.random.default_rng(0))


def after(variant, case, dtype):
    """params after a step."""
    arguments = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in CASES[case].items()}
    assert sgd.variant(variant).step(**arguments) is None
    return arguments["params"]


def assert_accurate(variant, case):
    report = compare_step(sgd.variant(variant), sgd.variant("reference"), CASES[case])
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == ["params"]


@pytest.mark.parametrize("case", CASES)
def test_a_variant_is_as_accurate_as_the_reference_in_float32(case):
    assert_accurate("numba_cpu", case)


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("number", sgd.variant("cuda").VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_every_cuda_version_is_as_accurate_in_every_order(case, number, order):
    with turns(order, seed=7), use_version(number):
        assert_accurate("cuda", case)


@needs_compiler
@pytest.mark.parametrize("odd", ["params", "grads"])
def test_cuda_serves_arrays_at_any_address(odd):
    given = {name: CASES["larger than a block"][name].astype(np.float32) for name in ("params", "grads")}
    expected = {name: array.copy() for name, array in given.items()}
    roomy = np.empty(given[odd].size + 4, np.float32)
    start = next(k for k in range(4) if roomy[k:].ctypes.data % 16 == 4)  # where no float4 can be read
    at_an_odd_address = roomy[start : start + given[odd].size]
    at_an_odd_address[...] = given[odd]
    sgd.variant("cuda").step(**given | {odd: at_an_odd_address}, lr=0.1)
    sgd.variant("cuda").step(**expected, lr=0.1)
    np.testing.assert_array_equal(at_an_odd_address if odd == "params" else given["params"], expected["params"])


@needs_compiler
@pytest.mark.parametrize("number", sgd.variant("cuda").VERSIONS)
def test_cuda_reads_the_factor_of_the_gradient_where_it_was_computed(number):
    params = np.ones(9, np.float32)
    with use_version(number):
        sgd.variant("cuda").step(params, np.full(9, 8, np.float32), lr=0.5, grad_scale=np.float32([0.25]))
    np.testing.assert_array_equal(params, 0)


@pytest.mark.parametrize("case", CASES)
def test_both_variants_agree_in_float64(case):
    np.testing.assert_allclose(
        after("numba_cpu", case, np.float64), after("reference", case, np.float64), rtol=1e-13, atol=1e-15
    )


@doubles
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


@pytest.mark.parametrize("variant", ["numba_cpu", cuda])
def test_arrays_that_cannot_be_updated_in_place_are_refused(variant):
    step, grads = sgd.variant(variant).step, np.ones(5, np.float32)
    frozen = np.ones(5, np.float32)
    frozen.flags.writeable = False
    misaligned = np.zeros(21, np.uint8)[1:].view(np.float32)
    for params, match in (
        (np.ones((5, 2), np.float32)[:, 0], "params is not contiguous"),
        (misaligned, "params is not contiguous and aligned"),
        (frozen, "params is read-only"),
        (np.ones(5), "float64" if variant == "cuda" else "grads is float32; it serves arrays that are all"),
        (np.ones(4, np.float32), r"grads has the shape \(5,\), and params \(4,\)"),
    ):
        with pytest.raises(ValueError, match=match):
            step(params, grads, lr=0.1)
    assert "byte" not in (sgd.variant(variant).limits(np.ones(5, ">f4"), grads) or "byte")  # refused, by its dtype


@needs_compiler
def test_a_factor_that_is_no_number_leaves_all_as_it_is():
    params = np.arange(9, dtype=np.float32)
    sgd.variant("cuda").step(params, np.full(9, np.nan, np.float32), lr=0.5, grad_scale=np.float32([np.nan]))
    np.testing.assert_array_equal(params, np.arange(9))
