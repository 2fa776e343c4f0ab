"""Max pooling: what is particular to it."""

import numpy as np
import pytest

from scratchlv.ops import max_pool2d

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])


def run(variant, x, dy=None, **settings):
    module = max_pool2d.variant(variant)
    y, cache = module.forward(np.asarray(x, np.float32), **settings)
    (dx,) = module.backward(np.ones_like(y) if dy is None else dy, cache)
    return y, dx


@variants
def test_of_equal_values_the_first_is_taken(variant):
    _, dx = run(variant, np.zeros((1, 4, 4, 3)))
    first = np.zeros((4, 4), bool)
    first[::2, ::2] = True
    np.testing.assert_array_equal(dx, np.broadcast_to(first[None, :, :, None], dx.shape))


@variants
def test_first_means_row_by_row(variant):
    x = np.array([[0, 5], [5, 0]], np.float32).reshape(1, 2, 2, 1)  # the upper right comes before the lower left
    _, dx = run(variant, x)
    np.testing.assert_array_equal(dx.reshape(2, 2), [[0, 1], [0, 0]])


@variants
def test_what_fills_no_window_is_dropped(variant):
    x = np.zeros((1, 5, 7, 1), np.float32)
    x[0, 4], x[0, :, 6] = 9, 9
    y, dx = run(variant, x)
    assert y.shape == (1, 2, 3, 1)
    assert not y.any()
    assert not dx[0, 4].any()
    assert not dx[0, :, 6].any()


@variants
def test_a_value_that_wins_in_several_windows_receives_every_gradient(variant):
    x = np.zeros((1, 3, 3, 1), np.float32)
    x[0, 1, 1] = 1
    _, dx = run(variant, x, dy=np.float32([[1, 10], [100, 1000]]).reshape(1, 2, 2, 1), size=2, stride=1)
    assert dx[0, 1, 1, 0] == 1111
    assert dx.sum() == 1111


@variants
def test_negative_values_are_pooled_too(variant):
    y, _ = run(variant, np.full((1, 2, 2, 1), -3.0))
    assert y.item() == -3


@variants
@pytest.mark.parametrize("place", range(4))
def test_nan_spreads_from_any_place_of_the_window(variant, place):
    x = rng.standard_normal((1, 4, 4, 2)).astype(np.float32)
    x[0, place // 2, place % 2, 0] = np.nan
    for train in (True, False):
        y, _ = max_pool2d.variant(variant).forward(x, train=train)
        assert np.isnan(y[0, 0, 0, 0])
        assert np.isnan(y).sum() == 1


@variants
def test_padding_never_wins(variant):
    """Of numbers below zero, and of minus infinity: then the first pixel is taken, not the padding before it."""
    for value in (-3.0, -np.inf):
        y, dx = run(variant, np.full((1, 3, 3, 5), value), size=3, stride=2, padding=1)
        np.testing.assert_array_equal(y, np.full((1, 2, 2, 5), value))
        np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


@variants
def test_in_ceil_mode_what_is_left_over_makes_a_window_if_it_begins_in_the_picture(variant):
    x = np.arange(20).reshape(1, 4, 5, 1)
    y, dx = run(variant, x, size=(3, 2), stride=2, ceil_mode=True)
    np.testing.assert_array_equal(y.reshape(2, 3), [[11, 13, 14], [16, 18, 19]])
    assert np.flatnonzero(dx).tolist() == [11, 13, 14, 16, 18, 19]
    y, _ = run(
        variant, np.ones((1, 3, 4, 1)), size=1, stride=2, ceil_mode=True
    )  # the third would begin behind the picture
    assert y.shape == (1, 2, 2, 1)


@variants
def test_nan_in_a_window_that_is_cut_off(variant):
    x = np.zeros((1, 4, 4, 3), np.float32)
    x[0, 3, 3, 1] = np.nan
    y, _ = run(variant, x, size=3, stride=3, padding=1, ceil_mode=True)
    assert np.argwhere(np.isnan(y)).tolist() == [[0, 1, 1, 1]]


@variants
def test_more_places_than_a_byte_tells_are_refused(variant):
    with pytest.raises(ValueError, match=r"size must make at most 256 places, 16x16; it is \(2, 129\)"):
        run(variant, np.zeros((1, 4, 200, 2)), size=(2, 129))
    y, _ = run(variant, np.arange(200).reshape(1, 1, 200, 1), size=(1, 200))
    assert y.item() == 199


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [
        *[(*windows, 0) for windows in ((1, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3), (4, 2), (5, 3), (16, 1))],
        (2, 2, 1),
        (3, 2, 1),
        (3, 3, 1),
        ((1, 4), (3, 2), (0, 2)),
        ((3, 2), (1, 3), ((2, 0), (0, 1))),
        ((2, 3), 4, ((0, 1), (2, 2))),
    ],
)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_all_variants_take_the_same_value(size, stride, padding, ceil_mode):
    """Also of ties, and for windows that overlap, touch, or leave gaps."""
    x = rng.integers(0, 4, (2, 17, 19, 5)).astype(np.float32)
    settings = {"size": size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    results = [run(variant, x, **settings) for variant in ("reference", "numba_cpu", "cuda")]
    for expected, *others in zip(*results, strict=True):
        for got in others:
            np.testing.assert_array_equal(got, expected)
