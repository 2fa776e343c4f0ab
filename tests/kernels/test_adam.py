"""Adam: its variants against each other, and against what the equations say."""

import copy

import numpy as np
import pytest

from scratchlv.cuda.emulator import ORDERS, turns, why_not
from scratchlv.cuda.versions import use_version
from scratchlv.gradcheck import compare_step
from scratchlv.ops import adam

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
cuda = pytest.param("cuda", marks=needs_compiler)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
doubles = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])  # that serve float64
CASES = adam.room.cases(np.random.default_rng(0))
UPDATED = ("params", "m", "v")


def inputs(case, dtype):
    return {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in copy.deepcopy(CASES[case]).items()}


def after(variant, case, dtype):
    """params, m and v after a step."""
    arguments = inputs(case, dtype)
    assert adam.variant(variant).step(**arguments) is None
    return {name: arguments[name] for name in UPDATED}


def assert_accurate(variant, case):
    report = compare_step(adam.variant(variant), adam.variant("reference"), CASES[case])
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == list(UPDATED)


@pytest.mark.parametrize("case", CASES)
def test_a_variant_is_as_accurate_as_the_reference_in_float32(case):
    assert_accurate("numba_cpu", case)


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("number", adam.variant("cuda").VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_every_cuda_version_is_as_accurate_in_every_order(case, number, order):
    with turns(order, seed=7), use_version(number):
        assert_accurate("cuda", case)


def at_an_odd_address(x):
    """Where no float4 can be read."""
    roomy = np.empty(x.size + 4, x.dtype)
    start = next(k for k in range(4) if roomy[k:].ctypes.data % 16 == 4)
    roomy[start : start + x.size] = x
    return roomy[start : start + x.size]


@needs_compiler
@pytest.mark.parametrize("odd", [*UPDATED, "grads"])
def test_cuda_serves_arrays_at_any_address(odd):
    expected, given = inputs("larger than a block", np.float32), inputs("larger than a block", np.float32)
    given[odd] = at_an_odd_address(given[odd])
    for arguments in (expected, given):
        adam.variant("cuda").step(**arguments)
    for name in UPDATED:
        np.testing.assert_array_equal(given[name], expected[name])


@needs_compiler
@pytest.mark.parametrize("number", adam.variant("cuda").VERSIONS)
def test_cuda_reads_the_factor_of_the_gradient_where_it_was_computed(number):
    as_number, as_array = inputs("clipped", np.float32), inputs("clipped", np.float32)
    as_array["grad_scale"] = np.array(as_array["grad_scale"], np.float32)
    with use_version(number):
        for arguments in (as_number, as_array):
            adam.variant("cuda").step(**arguments)
        with pytest.raises(ValueError, match="one number, and this array has 2"):
            adam.variant("cuda").step(**as_array | {"grad_scale": np.ones(2, np.float32)})
    for name in UPDATED:
        np.testing.assert_array_equal(as_number[name], as_array[name])


@pytest.mark.parametrize("case", CASES)
def test_both_variants_agree_in_float64(case):
    exact, got = after("reference", case, np.float64), after("numba_cpu", case, np.float64)
    for name in UPDATED:
        np.testing.assert_allclose(got[name], exact[name], rtol=1e-12, atol=1e-15)


@doubles
def test_the_first_step_is_lr_against_the_sign_of_the_gradient(variant):
    arguments = {name: np.zeros(3) for name in UPDATED}
    adam.variant(variant).step(grads=np.array([1e3, -1e-3, 0.0]), t=1, lr=0.1, **arguments)
    np.testing.assert_allclose(arguments["params"], [-0.1, 0.1, 0], rtol=1e-4)


@doubles
def test_weight_decay_alone_shrinks_all_parameters_alike(variant):
    arguments = {"params": np.array([1.0, -100.0]), "m": np.zeros(2), "v": np.zeros(2)}
    adam.variant(variant).step(grads=np.zeros(2), t=1, lr=0.1, weight_decay=0.5, **arguments)
    np.testing.assert_allclose(arguments["params"], [0.95, -95.0])


@doubles
def test_it_descends_a_bowl(variant):
    arguments = {"params": np.float32([3, -2, 1]), "m": np.zeros(3, np.float32), "v": np.zeros(3, np.float32)}
    curvature = np.float32([100, 1, 0.01])
    for t in range(1, 2001):
        adam.variant(variant).step(grads=curvature * arguments["params"], t=t, lr=0.01, **arguments)
    np.testing.assert_allclose(arguments["params"], 0, atol=0.02)


@variants
def test_the_gradient_is_left_alone(variant):
    arguments = inputs("later", np.float32)
    before = arguments["grads"].copy()
    adam.variant(variant).step(**arguments)
    np.testing.assert_array_equal(arguments["grads"], before)


@variants
def test_two_runs_are_bit_identical(variant):
    first, second = (after(variant, "larger than a block", np.float32) for _ in range(2))
    for name in UPDATED:
        assert first[name].tobytes() == second[name].tobytes()


@variants
def test_nan_in_the_gradient_is_nan_in_the_parameter(variant):
    arguments = inputs("later", np.float32)
    arguments["grads"][3] = np.nan
    adam.variant(variant).step(**arguments)
    for name in UPDATED:
        assert np.flatnonzero(np.isnan(arguments[name])).tolist() == [3]


@variants
def test_steps_are_counted_from_one(variant):
    arguments = inputs("first step", np.float32) | {"t": 0}
    with pytest.raises(ValueError, match="counted from 1; it is 0"):
        adam.variant(variant).step(**arguments)


@variants
def test_a_negative_decay_is_named(variant):
    with pytest.raises(ValueError, match="weight_decay must be 0 or more; it is -0.1"):
        adam.variant(variant).step(**inputs("later", np.float32) | {"weight_decay": -0.1})


@pytest.mark.parametrize("variant", ["numba_cpu", cuda])
def test_arrays_that_cannot_be_updated_in_place_are_refused(variant):
    arguments = inputs("later", np.float32)
    arguments["m"] = np.zeros((13, 2), np.float32)[:, 0]
    with pytest.raises(ValueError, match="m is not contiguous"):
        adam.variant(variant).step(**arguments)
    arguments["m"] = np.zeros(13)
    with pytest.raises(ValueError, match="float64"):
        adam.variant(variant).step(**arguments)
    arguments["m"] = np.zeros(12, np.float32)
    with pytest.raises(ValueError, match=r"m has the shape \(12,\)"):
        adam.variant(variant).step(**arguments)
