"""Inputs, outputs and caches of any structure."""

import copy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from scratchlv.gradcheck import trees


class Pair(NamedTuple):
    a: np.ndarray
    b: object


X = np.arange(6.0).reshape(2, 3)
STRUCTURES = [X.copy(), (X, 2.0), [X, None], {"x": X}, Pair(X, (X, "text")), SimpleNamespace(x=X)]


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
def test_a_change_anywhere_is_seen_and_taken_back(k):
    value = copy.deepcopy(STRUCTURES[k])
    snapshot = trees.Snapshot(value)
    assert not snapshot.changed()
    array = next(leaf for leaf in trees.leaves(value) if np.ndim(leaf))
    array[1, 2] += 1e-14
    assert snapshot.changed()
    assert not trees.same(value, STRUCTURES[k])
    snapshot.restore()
    assert trees.same(value, STRUCTURES[k])


def test_what_is_taken_out_of_a_list_or_a_dict_is_missed_and_put_back():
    value = {"h": [X.copy(), X + 1], "n": 3}
    snapshot = trees.Snapshot(value)
    value["new"] = 1  # nothing that was there is another
    assert not snapshot.changed()
    value["h"].pop()
    assert snapshot.changed()
    snapshot.restore()
    assert not snapshot.changed()
    assert len(value["h"]) == 2 and "new" not in value


def test_random_numbers_are_put_back_too():
    rng = np.random.default_rng(0)
    snapshot = trees.Snapshot([rng])
    first = rng.random()
    assert snapshot.changed()
    snapshot.restore()
    assert rng.random() == first


class Link:
    def __init__(self, value, previous):
        self.value, self.previous = value, previous


def test_a_structure_may_be_deep_or_go_round():
    chain = None
    for _ in range(5000):
        chain = Link(X, chain)
    assert sum(1 for _ in trees.leaves(chain)) == 5000
    ring = Link(X.copy(), None)
    ring.previous = ring
    snapshot = trees.Snapshot(ring)
    ring.value += 1
    assert snapshot.changed()


@dataclass(frozen=True)
class Record:
    W: object
    b: object


def test_every_leaf_has_a_name():
    names = []
    value = {"params": Record(X, (X, 2.0)), "pair": Pair(X, 1)}
    trees.map_named(lambda name, leaf: names.append(name), value, "x")
    assert names == ["x['params'].W", "x['params'].b[0]", "x['params'].b[1]", "x['pair'].a", "x['pair'].b"]


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
