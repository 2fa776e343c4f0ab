"""Smaller inputs are cut out of those at hand, as forward serves them."""

import numpy as np

from scratchlv.gradcheck import slices

from .operations import normal

INPUTS = {"x": normal(5, 3), "params": {"W": normal(3, 2), "b": normal(2)}, "labels": np.arange(5), "rate": 0.5}


def shapes(inputs):
    return [
        np.shape(inputs["x"]),
        *(np.shape(value) for value in inputs["params"].values()),
        np.shape(inputs["labels"]),
    ]


def serves(inputs):
    params = inputs["params"]
    try:
        (inputs["x"] @ params["W"] + params["b"])[np.arange(len(inputs["x"])), 0 * inputs["labels"]]
    except (ValueError, IndexError):
        return False
    return True


def test_axes_of_one_length_are_cut_together():
    found = [shapes(each) for each in slices.smaller(INPUTS, serves)]
    batch, features, outputs = [(4, 3), (3, 2), (2,), (4,)], [(5, 2), (2, 2), (2,), (5,)], [(5, 3), (3, 1), (1,), (5,)]
    assert sorted(found) == sorted([batch, features, outputs])
    assert shapes(INPUTS)[0] == (5, 3)  # the inputs are left alone


def test_the_blocks_of_gates_are_cut_with_their_length():
    inputs = {"h": normal(3, 2), "W": np.arange(16.0).reshape(2, 8)}
    smaller = slices.cut(inputs, 2, 1)
    assert smaller["W"].tolist() == [[0, 2, 4, 6]]


def test_a_multiple_by_chance_is_left_alone_where_forward_asks_for_it():
    inputs = {"x": normal(4, 2), "W": normal(2, 3)}
    found = slices.shorter(inputs, lambda each: each["x"].shape == (4, 1) and each["W"].shape == (1, 3), 2, 1)
    assert found is not None


def test_the_smallest_inputs_that_still_fail():
    found = slices.smallest(INPUTS, lambda inputs: serves(inputs) and len(inputs["x"]) >= 2)
    assert shapes(found) == [(2, 1), (1, 1), (1,), (2,)]


def test_no_inputs_are_tried_twice():
    """Cut by blocks, alone, or of first axes alone, most inputs come out the same."""
    asked = []

    def fails(inputs):
        asked.append((*shapes(inputs), inputs["x"].tobytes()))
        return serves(inputs) and len(inputs["x"]) >= 2

    slices.smallest(INPUTS, fails)
    assert len(asked) == len(set(asked))


def test_dimensions_of_one_length_are_told_apart():
    inputs = {"x": np.zeros((4, 4)), "W": np.zeros((4, 3))}

    def serves(inputs):
        return inputs["x"].shape[1] == len(inputs["W"])

    (found,) = slices.apart(inputs, serves)  # the rows of x, and not its columns with those of W
    assert (found["x"].shape, found["W"].shape) == ((3, 4), (4, 3))
    assert list(slices.apart({"x": np.zeros((4, 2)), "W": np.zeros((2, 3))}, serves)) == []


def test_all_lengths_grow_and_none_becomes_another_or_a_square():
    inputs = {"x": normal(7, 3), "W": normal(3, 4), "b": normal(4)}
    larger = slices.grown(inputs, lambda each: each["x"].shape[1] == len(each["W"]))
    assert larger is not None
    assert [array.shape for array in larger.values()] == [(8, 6), (6, 5), (5,)]
    assert slices.grown(inputs, lambda each: False) is None
