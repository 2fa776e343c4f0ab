"""Average pooling: what is particular to it."""

import numpy as np
import pytest

from scratchlv.cuda.emulator import why_not
from scratchlv.ops import avg_pool2d

rng = np.random.default_rng(0)
cuda = pytest.param("cuda", marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not())))
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", cuda])


def run(variant, x, dy=None, **settings):
    module = avg_pool2d.variant(variant)
    y, cache = module.forward(np.asarray(x, np.float32), **settings)
    (dx,) = module.backward(np.ones_like(y) if dy is None else dy, cache)
    return y, dx


@variants
def test_without_a_size_it_is_the_mean_of_the_picture(variant):
    x, dy = rng.integers(-8, 9, (2, 4, 8, 3)), np.float32([[1, 2, 3], [4, 5, 6]]).reshape(2, 1, 1, 3)
    y, dx = run(variant, x, dy, size=None)
    np.testing.assert_array_equal(y, x.mean((1, 2), keepdims=True))
    np.testing.assert_array_equal(dx, np.broadcast_to(dy / 32, x.shape))


@variants
def test_windows_tile_the_picture_unless_told_otherwise(variant):
    x = np.arange(16).reshape(1, 4, 4, 1)
    y, dx = run(variant, x, np.float32([[4, 8], [12, 16]]).reshape(1, 2, 2, 1), size=2)
    np.testing.assert_array_equal(y.reshape(2, 2), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(dx.reshape(4, 4), np.kron([[1, 2], [3, 4]], np.ones((2, 2))))


@variants
def test_a_pixel_in_several_windows_receives_from_each(variant):
    _, dx = run(
        variant, np.zeros((1, 3, 3, 1)), np.float32([[4, 40], [400, 4000]]).reshape(1, 2, 2, 1), size=2, stride=1
    )
    np.testing.assert_array_equal(dx.reshape(3, 3), [[1, 11, 10], [101, 1111, 1010], [100, 1100, 1000]])


@variants
def test_a_pixel_in_no_window_is_not_read_and_receives_nothing(variant):
    x = np.ones((1, 5, 6, 2))
    x[:, 2], x[:, :, [2, 5]] = np.nan, np.nan  # between the windows, and past the last
    y, dx = run(variant, x, size=2, stride=3)
    np.testing.assert_array_equal(y, np.ones((1, 2, 2, 2)))
    np.testing.assert_array_equal(dx, np.where(np.isnan(x), 0, 0.25))


@variants
@pytest.mark.parametrize(("count_include_pad", "corner", "edge"), [(True, 9, 9), (False, 4, 6)])
def test_padding_counts_as_places_or_does_not(variant, count_include_pad, corner, edge):
    x, settings = np.full((1, 5, 3, 2), 36.0), {"size": 3, "stride": 2, "padding": 1}
    y, dx = run(variant, x, count_include_pad=count_include_pad, **settings)
    rows, columns = np.float32([2, 3, 2]), np.float32([2, 2])  # of the picture's places
    seen = np.outer(rows, columns)
    places = np.float32([[corner, corner], [edge, edge], [corner, corner]])
    np.testing.assert_allclose(y[0, :, :, 1], 36 * seen / places, rtol=1e-6)
    assert dx.sum() == pytest.approx(2 * (seen / places).sum(), rel=1e-5)
    assert dx[0, 1, 1, 0] == pytest.approx(2 / corner + 2 / edge, rel=1e-6)


@variants
@pytest.mark.parametrize(
    ("count_include_pad", "places"), [(True, [[9, 9, 6], [9, 9, 6]]), (False, [[4, 6, 2], [4, 6, 2]])]
)
def test_what_hangs_over_the_padding_never_counts(variant, count_include_pad, places):
    settings = {"size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": count_include_pad}
    y, _ = run(variant, np.full((1, 3, 4, 2), 36.0), **settings)
    seen = np.float32([[4, 6, 2], [4, 6, 2]])
    np.testing.assert_allclose(y[0, :, :, 0], 36 * seen / np.float32(places), rtol=1e-6)


@variants
def test_windows_that_cannot_be_are_named(variant):
    with pytest.raises(ValueError, match="a 5x5 window does not fit into x, which is 4x6"):
        run(variant, np.zeros((1, 4, 6, 2)), size=5)
