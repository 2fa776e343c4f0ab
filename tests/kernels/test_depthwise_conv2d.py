"""Depthwise convolution: what is particular to it."""

import numpy as np
import pytest

from scratchlv.ops import conv2d, depthwise_conv2d

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])


def whole(*shape):
    """Whole numbers, whose sums are exact in any order."""
    return rng.integers(-9, 10, shape).astype(np.float32)


@variants
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": 3, "padding": ((0, 2), (3, 1))},
        {"stride": (1, 2), "padding": (2, 0), "dilation": (2, 3)},
        {"stride": (4, 3), "padding": 3, "dilation": (2, 3)},
        {"stride": (2, 4), "padding": 3, "dilation": (4, 2)},
    ],
)
def test_it_is_a_convolution_with_as_many_groups_as_channels(variant, settings):
    x, W, b = whole(2, 9, 8, 5), whole(3, 2, 5), whole(5)
    full, full_cache = conv2d.variant("reference").forward(x, W[:, :, None], b, groups=5, **settings)
    dy = whole(*full.shape)
    dx, dW, db = conv2d.variant("reference").backward(dy, full_cache)
    y, cache = depthwise_conv2d.variant(variant).forward(x, W, b, **settings)
    np.testing.assert_array_equal(y, full)
    for got, expected in zip(depthwise_conv2d.variant(variant).backward(dy, cache), (dx, dW[:, :, 0], db), strict=True):
        np.testing.assert_array_equal(got, expected)


@variants
def test_channels_do_not_mix(variant):
    module = depthwise_conv2d.variant(variant)
    x, W, dy = whole(2, 5, 6, 7), whole(3, 3, 7), whole(2, 3, 4, 7)
    x[..., 2], dy[..., 4] = np.nan, np.nan
    y, cache = module.forward(x, W, whole(7))
    dx, dW, db = module.backward(dy, cache)

    def spoiled(array):
        return np.flatnonzero(np.isnan(array).reshape(-1, 7).any(axis=0)).tolist()

    assert [spoiled(array) for array in (y, dx, dW, db)] == [[2], [4], [2, 4], [4]]


@variants
def test_a_filter_that_is_one_in_the_middle_changes_nothing(variant):
    """With stride 2, TensorFlow's SAME on an even picture, the middle of the first window is the second pixel."""
    x, W = whole(2, 6, 4, 3), np.zeros((3, 3, 3), np.float32)
    W[1, 1] = 1
    y, _ = depthwise_conv2d.variant(variant).forward(x, W, padding=1)
    np.testing.assert_array_equal(y, x)
    y, _ = depthwise_conv2d.variant(variant).forward(x, W, stride=2, padding=((0, 1), (0, 1)))
    np.testing.assert_array_equal(y, x[:, 1::2, 1::2])


@variants
def test_without_a_bias_there_is_no_gradient_of_one(variant):
    module = depthwise_conv2d.variant(variant)
    y, cache = module.forward(whole(2, 5, 6, 3), whole(3, 3, 3))
    assert module.backward(y, cache)[2] is None


@variants
@pytest.mark.parametrize("kernel", [(6, 1), (1, 7)])
def test_windows_that_cannot_be_are_named(variant, kernel):
    with pytest.raises(
        ValueError, match=f"a {kernel[0]}x{kernel[1]} window does not fit into x, which is 3x4 with padding 1"
    ):
        depthwise_conv2d.variant(variant).forward(whole(1, 3, 4, 2), whole(*kernel, 2), padding=1)
