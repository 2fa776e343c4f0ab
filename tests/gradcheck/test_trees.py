"""Inputs, outputs and caches of any structure."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from scratchlv.gradcheck import trees


class Pair(NamedTuple):
    a: np.ndarray
    b: object


X = np.arange(6.0).reshape(2, 3)
STRUCTURES = [X, (X, 2.0), [X, None], {"x": X}, Pair(X, (X, "text")), SimpleNamespace(x=X)]


def test_float_arrays_that_are_no_settings_are_differentiated_in_the_order_of_the_parameters():
    def forward(x, W, tokens, b=None, *, scale):
        pass

    inputs = {"scale": X, "W": X, "b": None, "tokens": np.arange(3), "x": X}
    assert trees.differentiable(forward, inputs) == ["x", "W"]
    assert trees.differentiable(lambda **inputs: None, {"b": X, "a": X}) == ["b", "a"]


def test_numbers_and_arrays_become_float64_and_nothing_is_shared():
    given = {"x": X.astype(np.float32), "n": np.arange(3), "s": np.float32(0.5), "none": None}
    exact = trees.as_float64(given)
    assert [exact[key].dtype for key in ("x", "n", "s")] == [np.float64, np.arange(3).dtype, np.float64]
    exact["n"][0] = 7
    assert given["n"][0] == 0


@pytest.mark.parametrize("value", STRUCTURES[:-1])
def test_a_structure_is_kept(value):
    doubled = trees.map_leaves(lambda leaf: leaf * 2 if isinstance(leaf, np.ndarray) else leaf, value)
    assert type(doubled) is type(value)
    arrays, twice = ([leaf for leaf in trees.leaves(each) if np.ndim(leaf)] for each in (value, doubled))
    assert len(arrays) == len(twice) > 0
    for array, other in zip(arrays, twice, strict=True):
        np.testing.assert_array_equal(other, 2 * array)


@pytest.mark.parametrize("k", range(len(STRUCTURES)))
def test_a_change_anywhere_is_seen(k):
    before = trees.as_float64(vars(STRUCTURES[k]) if isinstance(STRUCTURES[k], SimpleNamespace) else STRUCTURES[k])
    after = trees.as_float64(before)
    assert trees.same(before, after)
    assert not trees.mutations({"the cache": (before, after)}, "backward")
    next(leaf for leaf in trees.leaves(after) if np.ndim(leaf))[1, 2] += 1e-15
    assert not trees.same(before, after)
    (said,) = trees.mutations({"the cache": (before, after)}, "backward")
    assert said.startswith("backward changes the cache in place")


def test_nan_is_the_same_as_nan():
    assert trees.same({"x": np.array([np.nan, 1])}, {"x": np.array([np.nan, 1])})
    assert not trees.same((X,), (X, X))


def test_an_output_gradient_has_the_shape_of_the_output_and_is_nowhere_zero():
    dy = trees.random_like((X, np.float64(3)), np.random.default_rng(0))
    assert dy[0].shape == X.shape
    assert np.ndim(dy[1]) == 0
    assert np.all(dy[0]) and dy[1]


def test_strided_values_are_the_same_with_nan_between():
    spread = trees.strided(X)
    np.testing.assert_array_equal(spread, X)
    assert not spread.flags.c_contiguous
    assert np.isnan(spread.base[..., 1]).all()


def test_the_product_of_an_output_with_its_gradient():
    assert trees.dot((X, 2.0), (X, -3.0)) == (X**2).sum() - 6
    assert trees.dot((X, 2.0), (X, -3.0), absolute=True) == (X**2).sum() + 6
