"""Large arrays, with no more of them than are needed."""

import numpy as np

from scratchlv.arrays import add, empty, take_rows


def test_an_empty_array_is_of_the_kind_of_another():
    like = np.zeros(3, np.float32)
    assert (empty((2, 5), like).shape, empty((2, 5), like).dtype) == ((2, 5), np.float32)
    assert empty((4,), like, np.int64).dtype == np.int64


def test_rows_are_taken_in_any_shape_and_into_memory_of_their_own():
    x = np.arange(12.0).reshape(4, 3)
    rows = np.array([[3, 0], [0, 2]])
    taken = take_rows(x, rows)
    np.testing.assert_array_equal(taken, x[rows])
    taken[:] = -1
    np.testing.assert_array_equal(x, np.arange(12.0).reshape(4, 3))


def test_the_first_gradient_becomes_the_sum():
    first, second = np.ones(3), np.full(3, 2.0)
    assert add(None, first) is first
    assert add(first, second) is first
    assert add(first, None) is first
    np.testing.assert_array_equal(first, [3, 3, 3])
    np.testing.assert_array_equal(second, [2, 2, 2])
    assert add(None, None) is None
