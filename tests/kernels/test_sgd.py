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


def inputs(case, dtype):
    return {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in CASES[case].items()}


def updated(case):
    return [name for name in ("params", "velocity") if name in CASES[case]]


def after(variant, case, dtype):
    """params and velocity after a step."""
    arguments = inputs(case, dtype)
    assert sgd.variant(variant).step(**arguments) is None
    return [arguments[name] for name in updated(case)]


def assert_accurate(variant, case):
    report = compare_step(sgd.variant(variant), sgd.variant("reference"), CASES[case])
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == updated(case)


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
@pytest.mark.parametrize(
    ("case", "odd"),
    [(case, odd) for case in ("plain", "nesterov") for odd in ("params", "grads", "velocity") if odd in CASES[case]],
)
def test_cuda_serves_arrays_at_any_address(case, odd):
    given, expected = inputs(case, np.float32), inputs(case, np.float32)
    roomy = np.empty(given[odd].size + 4, np.float32)
    start = next(k for k in range(4) if roomy[k:].ctypes.data % 16 == 4)  # where no float4 can be read
    at_an_odd_address = roomy[start : start + given[odd].size]
    at_an_odd_address[...] = given[odd]
    given[odd] = at_an_odd_address
    sgd.variant("cuda").step(**given)
    sgd.variant("cuda").step(**expected)
    for name in updated(case):
        np.testing.assert_array_equal(given[name], expected[name])


@needs_compiler
@pytest.mark.parametrize("number", sgd.variant("cuda").VERSIONS)
def test_cuda_reads_the_factor_of_the_gradient_where_it_was_computed(number):
    params = np.ones(9, np.float32)
    with use_version(number):
        sgd.variant("cuda").step(params, np.full(9, 8, np.float32), lr=0.5, grad_scale=np.float32([0.25]))
        np.testing.assert_array_equal(params, 0)
        velocity = np.ones(9, np.float32)
        settings = {"lr": 0.5, "grad_scale": np.float32([0.25]), "momentum": 0.5}
        sgd.variant("cuda").step(params, np.full(9, 8, np.float32), velocity, **settings)
    np.testing.assert_array_equal(velocity, 2.5)
    np.testing.assert_array_equal(params, -1.25)


@pytest.mark.parametrize("case", CASES)
def test_both_variants_agree_in_float64(case):
    for got, expected in zip(after("numba_cpu", case, np.float64), after("reference", case, np.float64), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


@doubles
def test_a_step_is_lr_times_the_scaled_gradient_and_the_decay(variant):
    params = np.array([1.0, -100.0])
    sgd.variant(variant).step(params, np.array([2.0, 4.0]), lr=0.5, grad_scale=0.25, weight_decay=0.1)
    np.testing.assert_allclose(params, [1 - 0.25 - 0.05, -100 - 0.5 + 5])


@variants
def test_three_steps_with_momentum_by_hand(variant):
    """Gradients 1, 2 and -4, of which a half stays: v is 1, 2.5 and -2.75."""
    for nesterov, moved in ((False, 1 + 2.5 - 2.75), (True, 1.5 + 3.25 - 5.375)):
        params, velocity = np.float32([8]), np.float32([0])
        for grad in (1, 2, -4):
            how = {"lr": 0.25, "momentum": 0.5, "nesterov": nesterov}
            sgd.variant(variant).step(params, np.float32([grad]), velocity, **how)
        assert velocity[0] == -2.75
        assert params[0] == 8 - 0.25 * moved


@doubles
def test_nesterovs_gradient_is_that_of_the_place_ahead(variant):
    """The two steps as Nesterov wrote them, on a bowl of curvature c: v' = μ v + c (θ - lr μ v), θ' = θ - lr v'."""
    curvature, lr, momentum = np.array([3.0, 0.1]), 0.2, 0.9
    theta, v = np.array([1.0, -2.0]), np.zeros(2)
    params, velocity = theta.copy(), np.zeros(2)  # ahead of theta by -lr μ v
    for _ in range(7):
        v = momentum * v + curvature * (theta - lr * momentum * v)
        theta = theta - lr * v
        settings = {"lr": lr, "momentum": momentum, "nesterov": True}
        sgd.variant(variant).step(params, curvature * params, velocity, **settings)
    np.testing.assert_allclose(params, theta - lr * momentum * v, rtol=1e-12)


@variants
def test_without_momentum_a_velocity_is_the_gradient(variant):
    params, velocity = np.ones(3, np.float32), np.full(3, 7, np.float32)
    sgd.variant(variant).step(params, np.float32([1, 2, 3]), velocity, lr=0.5)
    np.testing.assert_array_equal(velocity, [1, 2, 3])
    np.testing.assert_array_equal(params, [0.5, 0, -0.5])


@variants
@pytest.mark.parametrize(
    ("velocity", "settings", "match"),
    [
        (True, {"momentum": 1.0}, r"momentum is the share .* 0 or more and below 1; it is 1.0"),
        (True, {"momentum": -0.1}, r"below 1; it is -0.1"),
        (True, {"momentum": np.nan}, r"below 1; it is nan"),
        (False, {"momentum": 0.9}, r"momentum 0.9 needs velocity, an array like params"),
        (True, {"nesterov": True}, r"without momentum there is none; give momentum"),
        (False, {"weight_decay": -0.1}, r"weight_decay must be 0 or more; it is -0.1"),
    ],
)
def test_settings_that_cannot_be_are_named_and_change_nothing(variant, velocity, settings, match):
    params, more = np.ones(3, np.float32), (np.ones(3, np.float32),) if velocity else ()
    with pytest.raises(ValueError, match=match):
        sgd.variant(variant).step(params, np.ones(3, np.float32), *more, lr=0.1, **settings)
    assert params.tolist() == [1, 1, 1]
    assert not more or more[0].tolist() == [1, 1, 1]


@variants
def test_the_gradient_is_left_alone_and_nan_spreads(variant):
    grads = np.float32([1, np.nan, 2, np.inf, 3])
    before = grads.copy()
    for velocity in (None, np.zeros(5, np.float32)):
        params = np.ones(5, np.float32)
        sgd.variant(variant).step(params, grads, velocity, lr=0.1)
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
    with pytest.raises(ValueError, match=r"velocity has the shape \(4,\), and params \(5,\)"):
        step(np.ones(5, np.float32), grads, np.ones(4, np.float32), lr=0.1, momentum=0.9)
    assert "byte" not in (sgd.variant(variant).limits(np.ones(5, ">f4"), grads) or "byte")  # refused, by its dtype


@needs_compiler
def test_a_factor_that_is_no_number_leaves_all_as_it_is():
    for velocity in (None, np.arange(9, dtype=np.float32)):
        params, grads = np.arange(9, dtype=np.float32), np.full(9, np.nan, np.float32)
        sgd.variant("cuda").step(params, grads, velocity, lr=0.5, grad_scale=np.float32([np.nan]))
        for array in (params, velocity):
            np.testing.assert_array_equal(np.arange(9) if array is None else array, np.arange(9))
