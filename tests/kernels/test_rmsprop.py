"""RMSProp: its variants against each other, and against what the equations say."""

import copy

import numpy as np
import pytest

from scratchlv.cuda.emulator import ORDERS, turns, why_not
from scratchlv.cuda.versions import use_version
from scratchlv.gradcheck import compare_step
from scratchlv.ops import rmsprop

needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
cuda = pytest.param("cuda", marks=needs_compiler)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])
doubles = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])  # that serve float64
CASES = rmsprop.room.cases(np.random.default_rng(0))


def inputs(case, dtype):
    return {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in copy.deepcopy(CASES[case]).items()}


def updated(case):
    return [name for name in ("params", "v", "velocity") if name in CASES[case]]


def after(variant, case, dtype):
    """params, v and velocity after a step."""
    arguments = inputs(case, dtype)
    assert rmsprop.variant(variant).step(**arguments) is None
    return [arguments[name] for name in updated(case)]


def assert_accurate(variant, case):
    report = compare_step(rmsprop.variant(variant), rmsprop.variant("reference"), CASES[case])
    assert report.ok, str(report)
    assert [gradient.name for gradient in report.gradients] == updated(case)


@pytest.mark.parametrize("case", CASES)
def test_a_variant_is_as_accurate_as_the_reference_in_float32(case):
    assert_accurate("numba_cpu", case)


@needs_compiler
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("number", rmsprop.variant("cuda").VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_every_cuda_version_is_as_accurate_in_every_order(case, number, order):
    with turns(order, seed=7), use_version(number):
        assert_accurate("cuda", case)


@needs_compiler
@pytest.mark.parametrize("odd", ["params", "grads", "v", "velocity"])
def test_cuda_serves_arrays_at_any_address(odd):
    expected, given = inputs("momentum", np.float32), inputs("momentum", np.float32)
    roomy = np.empty(given[odd].size + 4, np.float32)
    start = next(k for k in range(4) if roomy[k:].ctypes.data % 16 == 4)  # where no float4 can be read
    at_an_odd_address = roomy[start : start + given[odd].size]
    at_an_odd_address[...] = given[odd]
    given[odd] = at_an_odd_address
    for arguments in (expected, given):
        rmsprop.variant("cuda").step(**arguments)
    for name in updated("momentum"):
        np.testing.assert_array_equal(given[name], expected[name])


@needs_compiler
@pytest.mark.parametrize("number", rmsprop.variant("cuda").VERSIONS)
@pytest.mark.parametrize("case", ["clipped", "momentum, clipped, weight decay"])
def test_cuda_reads_the_factor_of_the_gradient_where_it_was_computed(number, case):
    as_number, as_array, as_nan = (inputs(case, np.float32) for _ in range(3))
    as_array["grad_scale"] = np.array(as_array["grad_scale"], np.float32)
    as_nan["grad_scale"] = np.float32([np.nan])
    with use_version(number):
        for arguments in (as_number, as_array, as_nan):
            rmsprop.variant("cuda").step(**arguments)
    for name in updated(case):
        np.testing.assert_array_equal(as_number[name], as_array[name])
        np.testing.assert_array_equal(as_nan[name], inputs(case, np.float32)[name])  # all is left as it is


@pytest.mark.parametrize("case", CASES)
def test_both_variants_agree_in_float64(case):
    for got, exact in zip(after("numba_cpu", case, np.float64), after("reference", case, np.float64), strict=True):
        np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-15)


@variants
def test_three_steps_by_hand(variant):
    """Gradients 2, 1 and 4, of whose squares 0.75 stays: v is 1, 1 and 4.75; with momentum 0.5 the velocity 2, 2, then more."""
    last = 4 / np.sqrt(4.75)
    for momentum, moved in ((0.0, 2 + 1 + last), (0.5, 2 + 2 + (1 + last))):
        params, v, velocity = np.float32([8]), np.float32([0]), np.float32([0])
        for grad in (2, 1, 4):
            how = {"lr": 0.5, "rho": 0.75, "eps": 0.0, "momentum": momentum}
            rmsprop.variant(variant).step(params, np.float32([grad]), v, *[velocity] * (momentum > 0), **how)
        assert v[0] == 4.75
        np.testing.assert_allclose(params, 8 - 0.5 * moved, rtol=1e-6)


@doubles
def test_eps_is_added_to_the_root(variant):
    params, v = np.array([0.0, 0.0]), np.zeros(2)
    rmsprop.variant(variant).step(params, np.array([3.0, 0.0]), v, lr=1.0, rho=0.0, eps=2.0)
    np.testing.assert_allclose(params, [-3 / (3 + 2), 0])


@doubles
def test_weight_decay_is_part_of_the_gradient(variant):
    params, v, grads = np.array([2.0, -4.0]), np.array([1.0, 3.0]), np.array([1.0, 1.0])
    decayed, v_decayed = params.copy(), v.copy()
    rmsprop.variant(variant).step(decayed, grads, v_decayed, lr=0.1, grad_scale=0.5, weight_decay=0.25)
    rmsprop.variant(variant).step(params, np.array([1.0, -0.5]), v, lr=0.1)
    np.testing.assert_allclose(decayed, params, rtol=1e-14)
    np.testing.assert_allclose(v_decayed, v, rtol=1e-14)


@doubles
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_it_descends_a_bowl(variant, momentum):
    """Each of the three walks alike, though one is ten thousand times as steep as another."""
    arguments = {"params": np.float32([3, -2, 1]), "v": np.zeros(3, np.float32), "velocity": np.zeros(3, np.float32)}
    curvature = np.float32([100, 1, 0.01])
    for _ in range(1000):
        grads = curvature * arguments["params"]
        rmsprop.variant(variant).step(grads=grads, lr=0.01, momentum=momentum, **arguments)
    np.testing.assert_allclose(arguments["params"], 0, atol=0.03)


@variants
def test_the_gradient_is_left_alone_and_two_runs_have_the_same_bits(variant):
    case = "momentum, larger than a block"
    first, second = after(variant, case, np.float32), after(variant, case, np.float32)
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()
    arguments = inputs("later", np.float32)
    before = arguments["grads"].copy()
    rmsprop.variant(variant).step(**arguments)
    np.testing.assert_array_equal(arguments["grads"], before)


@variants
def test_nan_in_the_gradient_is_nan_in_the_parameter(variant):
    arguments = inputs("momentum", np.float32)
    arguments["grads"][3] = np.nan
    rmsprop.variant(variant).step(**arguments)
    for name in updated("momentum"):
        assert np.flatnonzero(np.isnan(arguments[name])).tolist() == [3]


@variants
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"rho": 1.0}, r"rho is the share of the running square .* below 1; it is 1.0"),
        ({"rho": -0.5}, r"it is -0.5"),
        ({"momentum": 1.5}, r"momentum is the share .* below 1; it is 1.5"),
        ({"momentum": 0.9}, r"momentum 0.9 needs velocity"),
        ({"weight_decay": -1e-4}, r"weight_decay must be 0 or more; it is -0.0001"),
    ],
)
def test_settings_that_cannot_be_are_named_and_change_nothing(variant, settings, match):
    arguments = inputs("later", np.float32)
    with pytest.raises(ValueError, match=match):
        rmsprop.variant(variant).step(**arguments | settings)
    for name in updated("later"):
        np.testing.assert_array_equal(arguments[name], inputs("later", np.float32)[name])


@pytest.mark.parametrize("variant", ["numba_cpu", cuda])
def test_arrays_that_cannot_be_updated_in_place_are_refused(variant):
    for name in ("v", "velocity"):
        for array, match in (
            (np.zeros((13, 2), np.float32)[:, 0], f"{name} is not contiguous"),
            (np.zeros(13), "float64"),
            (np.zeros(12, np.float32), rf"{name} has the shape \(12,\)"),
        ):
            with pytest.raises(ValueError, match=match):
                rmsprop.variant(variant).step(**inputs("momentum", np.float32) | {name: array})
