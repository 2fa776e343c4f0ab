"""The same pictures, once for each of several models."""

import numpy as np

from scratchlv.data.views import SeveralViews, in_memory


def test_an_index_picks_the_same_pictures_of_each_view():
    narrow, wide = np.arange(8).reshape(4, 2), np.arange(12).reshape(4, 3)
    views = SeveralViews([narrow, wide])
    assert len(views) == 4
    few, many = in_memory(views[np.array([2, 0])])
    np.testing.assert_array_equal(few, narrow[[2, 0]])
    np.testing.assert_array_equal(many, wide[[2, 0]])


def test_pictures_of_one_view_are_an_array():
    assert isinstance(in_memory([[1, 2]]), np.ndarray)
