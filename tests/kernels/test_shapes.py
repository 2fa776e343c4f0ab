"""Arrays that do not fit each other."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.gradcheck.trees import as_float32
from scratchlv.kernels.building_blocks.shapes import not_updatable, require, require_lengths, require_mask


def test_the_first_that_does_not_fit_is_named_with_what_it_should_be():
    require("x (2, 3)", W=(np.zeros((3, 4)), (3, 4)), b=(None, (4,)))
    with pytest.raises(ValueError, match=r"^b has the shape \(1,\); x \(2, 3\) need \(4,\)$"):
        require("x (2, 3)", W=(np.zeros((3, 4)), (3, 4)), b=(np.zeros(1), (4,)))


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("changed", "saying"),
    [
        ({}, None),
        ({"grads": np.ones((3, 2))[:, 0]}, None),  # it is only read
        ({"grads": [1.0, 2.0, 3.0]}, "grads is not a NumPy array"),
        ({"m": np.ones(3, np.float32)}, "m is float32"),
        ({"m": np.ones(4)}, r"m has the shape (4,), and params (3,)"),
        ({"params": np.ones((3, 2))[:, 0]}, "params is not contiguous"),
        ({"m": read_only(np.ones(3))}, "m is read-only"),
    ],
)
def test_what_cannot_be_updated_in_place(changed, saying):
    problem = not_updatable(**{"grads": np.ones(3), "params": np.ones(3), "m": np.ones(3)} | changed)
    assert problem is None if saying is None else saying in problem


@pytest.mark.parametrize("mask", [None, np.array([True]), np.array([0, 1]), np.array([0.0, 1.0]), np.zeros((0, 3))])
def test_masks(mask):
    require_mask(mask)


@pytest.mark.parametrize("mask", [[0.0, -np.inf], [1.0, np.nan], [0.5], [-1], [2]])
def test_what_is_no_mask(mask):
    with pytest.raises(ValueError, match="mask must be bool, or 0 and 1"):
        require_mask(np.array(mask))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_lengths(dtype):
    require_lengths(np.array([0, 3, 4], dtype), 4)
    require_lengths(np.array([], dtype), 0)
    require_lengths(None, 4)


@pytest.mark.parametrize("room", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([4, 5, 0], "a length is 5; of 4 steps, lengths must be 0 to 4"),
        ([4, -1, 0], "a length is -1; of 4 steps"),
        ([4.0, 1.5, 0.0], "lengths must be integers; they are float64"),
        ([True, False, True], "lengths must be integers; they are bool"),
    ],
)
def test_lengths_that_are_none(room, variant, lengths, message):
    operation = getattr(ops, room)
    case = as_float32(operation.room.cases(np.random.default_rng(0))["lengths"])
    with pytest.raises(ValueError, match=message):
        operation.variant(variant).forward(**case | {"lengths": np.array(lengths)})
