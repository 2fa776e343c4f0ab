"""Adam: its variants against each other, and against what the equations say."""

import copy

import numpy as np
import pytest

from scratchlv.ops import adam

variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
CASES = adam.room.cases(np.random.default_rng(0))
UPDATED = ("params", "m", "v")


def inputs(case, dtype):
    return {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in copy.deepcopy(CASES[case]).items()}


def after(variant, case, dtype, start=np.float64):
    """params, m and v after a step that starts from numbers rounded to ``start``."""
    arguments = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in inputs(case, start).items()}
    assert adam.variant(variant).step(**arguments) is None
    return {name: arguments[name] for name in UPDATED}


@pytest.mark.parametrize("case", CASES)
def test_a_variant_is_as_accurate_as_the_reference_in_float32(case):
    exact = after("reference", case, np.float64, start=np.float32)
    plain, got = after("reference", case, np.float32), after("numba_cpu", case, np.float32)
    for name in UPDATED:
        assert got[name].dtype == np.float32
        largest = np.abs(exact[name]).max(initial=0)
        allowed = 2 * np.abs(plain[name] - exact[name]).max(initial=0) + 4 * np.spacing(np.float32(largest))
        assert np.abs(got[name] - exact[name]).max(initial=0) <= allowed


@pytest.mark.parametrize("case", CASES)
def test_both_variants_agree_in_float64(case):
    exact, got = after("reference", case, np.float64), after("numba_cpu", case, np.float64)
    for name in UPDATED:
        np.testing.assert_allclose(got[name], exact[name], rtol=1e-12, atol=1e-15)


@variants
def test_the_first_step_is_lr_against_the_sign_of_the_gradient(variant):
    arguments = {name: np.zeros(3) for name in UPDATED}
    adam.variant(variant).step(grads=np.array([1e3, -1e-3, 0.0]), t=1, lr=0.1, **arguments)
    np.testing.assert_allclose(arguments["params"], [-0.1, 0.1, 0], rtol=1e-4)


@variants
def test_weight_decay_alone_shrinks_all_parameters_alike(variant):
    arguments = {"params": np.array([1.0, -100.0]), "m": np.zeros(2), "v": np.zeros(2)}
    adam.variant(variant).step(grads=np.zeros(2), t=1, lr=0.1, weight_decay=0.5, **arguments)
    np.testing.assert_allclose(arguments["params"], [0.95, -95.0])


@variants
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


def test_arrays_that_cannot_be_updated_in_place_are_refused():
    arguments = inputs("later", np.float32)
    arguments["m"] = np.zeros((13, 2), np.float32)[:, 0]
    with pytest.raises(ValueError, match="m is not contiguous"):
        adam.variant("numba_cpu").step(**arguments)
    arguments["m"] = np.zeros(13)
    with pytest.raises(ValueError, match="m is float64"):
        adam.variant("numba_cpu").step(**arguments)
    arguments["m"] = np.zeros(12, np.float32)
    with pytest.raises(ValueError, match=r"m has the shape \(12,\)"):
        adam.variant("numba_cpu").step(**arguments)
