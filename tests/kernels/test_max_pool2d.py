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
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 5}, "a window of 5 × 5 does not fit into x, which is 4 × 6"),
        ({"size": 17}, "size must be from 1 to 16; it is 17"),
        ({"size": 0}, "size must be from 1 to 16; it is 0"),
        ({"size": 2, "stride": -1}, "stride must be at least 1; it is -1"),
    ],
)
def test_windows_that_cannot_be_are_named(variant, settings, message):
    with pytest.raises(ValueError, match=message):
        run(variant, np.zeros((1, 4, 6, 2)), **settings)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3), (4, 2), (5, 3), (16, 1)])
def test_all_variants_take_the_same_value(size, stride):
    """Also of ties, and for windows that overlap, touch, or leave gaps."""
    x = rng.integers(0, 4, (2, 17, 19, 5)).astype(np.float32)
    results = [run(variant, x, size=size, stride=stride) for variant in ("reference", "numba_cpu", "cuda")]
    for expected, *others in zip(*results, strict=True):
        for got in others:
            np.testing.assert_array_equal(got, expected)
