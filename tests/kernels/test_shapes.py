"""Arrays that do not fit each other."""

import numpy as np
import pytest

from scratchlv.kernels.building_blocks.shapes import not_updatable, require


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
