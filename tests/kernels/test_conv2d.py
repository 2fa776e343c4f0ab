"""Convolution: what is particular to it."""

import numpy as np
import pytest

from scratchlv.ops import conv2d, linear

rng = np.random.default_rng(0)
variants = pytest.mark.parametrize("variant", ["reference", "numba_cpu"])
few_or_many_channels = pytest.mark.parametrize("C", [2, 11])  # numba_cpu goes another way for few


def whole(*shape):
    """Whole numbers, whose sums are exact in any order."""
    return rng.integers(-9, 10, shape).astype(np.float32)


def run(variant, dy, *arguments, **settings):
    module = conv2d.variant(variant)
    y, cache = module.forward(*arguments, **settings)
    return y, module.backward(dy, cache)


@variants
@few_or_many_channels
def test_the_window_is_not_turned_round(variant, C):
    """One tap that is 1: y is x, moved so that the pixel under that tap comes to where the window starts."""
    x = whole(2, 5, 6, C)
    W = np.zeros((3, 2, C, C), np.float32)
    W[2, 1] = np.eye(C)
    y, _ = conv2d.variant(variant).forward(x, W)
    np.testing.assert_array_equal(y, x[:, 2:, 1:])


@variants
@few_or_many_channels
def test_a_1x1_window_is_a_linear_map_of_every_pixel(variant, C):
    x, W, b, dy = whole(2, 3, 4, C), whole(C, 5), whole(5), whole(2, 3, 4, 5)
    y, grads = run(variant, dy, x, W[None, None], b)
    expected, cache = linear.variant("reference").forward(x, W, b)
    np.testing.assert_array_equal(y, expected)
    for got, true in zip(grads, linear.variant("reference").backward(dy, cache), strict=True):
        np.testing.assert_array_equal(got.reshape(true.shape), true)


@variants
@few_or_many_channels
def test_a_stride_leaves_places_out(variant, C):
    """Of y, and of the gradient: what is left out is as a gradient of zero."""
    x, W, b = whole(2, 8, 7, C), whole(3, 3, C, 5), whole(5)
    every, _ = conv2d.variant(variant).forward(x, W, b, padding=1)
    dy = whole(*every[:, ::2, ::2].shape)
    y, grads = run(variant, dy, x, W, b, stride=2, padding=1)
    np.testing.assert_array_equal(y, every[:, ::2, ::2])
    spread = np.zeros_like(every)
    spread[:, ::2, ::2] = dy
    for got, same in zip(grads, run(variant, spread, x, W, b, padding=1)[1], strict=True):
        np.testing.assert_array_equal(got, same)


@variants
@few_or_many_channels
def test_padding_is_zeros_around_the_picture(variant, C):
    x, W, dy = whole(2, 4, 5, C), whole(3, 2, C, 3), whole(2, 5, 7, 3)
    y, (dx, dW, db) = run(variant, dy, x, W, padding=((2, 1), (0, 3)))
    padded = np.pad(x, ((0, 0), (2, 1), (0, 3), (0, 0)))
    same, (dpadded, dW_same, _) = run(variant, dy, padded, W)
    np.testing.assert_array_equal(y, same)
    np.testing.assert_array_equal(dx, dpadded[:, 2:-1, :-3])
    np.testing.assert_array_equal(dW, dW_same)
    assert db is None


@variants
def test_nobody_wants_the_gradient_of_data(variant):
    x, W, b, dy = whole(2, 5, 4, 3), whole(3, 3, 3, 4), whole(4), whole(2, 3, 2, 4)
    _, (_, *grads) = run(variant, dy, x, W, b)
    _, (dx, *same) = run(variant, dy, x, W, b, x_is_data=True)
    assert dx is None
    for got, expected in zip(same, grads, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_groups_do_not_see_each_other():
    x, W, b, dy = whole(2, 5, 4, 6), whole(3, 3, 2, 9), whole(9), whole(2, 3, 2, 9)
    y, (dx, dW, db) = run("reference", dy, x, W, b, groups=3)
    for g in range(3):
        seen, made = slice(2 * g, 2 * g + 2), slice(3 * g, 3 * g + 3)
        part, grads = run("reference", dy[..., made], x[..., seen], W[..., made], b[made])
        np.testing.assert_array_equal(y[..., made], part)
        for got, expected in zip((dx[..., seen], dW[..., made], db[made]), grads, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_numba_says_that_it_serves_one_group():
    said = conv2d.explain(whole(2, 5, 4, 6), whole(3, 3, 2, 9), groups=3)
    assert said.startswith("conv2d runs in reference")
    assert "one group, and got 3" in said


@variants
@pytest.mark.parametrize(
    ("W", "settings", "message"),
    [
        ((3, 3, 4, 2), {}, r"x has 3 channels; W \(3, 3, 4, 2\) in 1 group\(s\) takes 4"),
        ((6, 3, 3, 2), {}, "a 6x3 window does not fit into 5x4 with padding 0"),
        ((3, 7, 3, 2), {"padding": 1}, "a 3x7 window does not fit into 5x4 with padding 1"),
    ],
)
def test_windows_that_cannot_be_are_named(variant, W, settings, message):
    with pytest.raises(ValueError, match=message):
        conv2d.variant(variant).forward(whole(2, 5, 4, 3), whole(*W), **settings)
