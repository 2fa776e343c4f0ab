"""Windows laid over pictures: how many there are, where they stand, and settings that are none."""

import itertools

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.kernels.building_blocks.windows import pair, pooling_windows, sides, windows


def begins(pixels, k, s, before, after, d, ceil_mode):
    """Where windows begin, counted one by one: those that fit; with ``ceil_mode`` one more, and none that begins behind."""
    reach = (k - 1) * d + 1
    found = [b for b in range(-before, pixels + after, s) if b + reach <= pixels + after]
    left_over = found and found[-1] + reach < pixels + after
    if ceil_mode and left_over:
        found.append(found[-1] + s)
    return [b for b in found if b < pixels or not ceil_mode]


AXES = [
    (pixels, k, s, before, after, d, ceil_mode)
    for pixels, k, s, before, after, d in itertools.product((1, 2, 5, 8), (1, 2, 3), (1, 2, 3), (0, 1), (0, 1), (1, 2))
    for ceil_mode in (False, True)
]


def test_as_many_windows_as_fit_and_in_ceil_mode_one_that_hangs_over():
    seen = 0
    for pixels, k, s, before, after, d, ceil_mode in AXES:
        expected = begins(pixels, k, s, before, after, d, ceil_mode)
        if ceil_mode and not begins(pixels, k, s, before, after, d, False):
            continue  # of a window that is too large, see below
        if not expected:
            with pytest.raises(ValueError, match="does not fit into x"):
                windows((pixels, pixels), k, s, ((before, after),) * 2, d, ceil_mode=ceil_mode)
            continue
        w = windows((pixels, pixels), k, s, ((before, after),) * 2, d, ceil_mode=ceil_mode)
        assert w.grid == (len(expected),) * 2, (pixels, k, s, before, after, d, ceil_mode)
        seen += 1
    assert seen > 200


def test_a_window_that_is_too_large_may_hang_over_by_less_than_the_stride():
    """As PyTorch has it."""
    assert windows((2, 3), 4, (3, 2), 0, ceil_mode=True).grid == (1, 1)
    with pytest.raises(ValueError, match="does not fit"):
        windows((2, 3), 4, (2, 2), 0, ceil_mode=True)


def test_every_pooled_window_sees_a_pixel():
    rng = np.random.default_rng(0)
    for _ in range(300):
        size, stride, picture = (tuple(int(n) for n in rng.integers(1, 6, 2)) for _ in range(3))
        padding = tuple(tuple(int(n) for n in rng.integers(0, k, 2)) for k in size)
        try:
            w = pooling_windows(picture, size, stride, padding, bool(rng.integers(2)))
        except ValueError:
            continue
        for pixels, count, s, k, (before, _) in zip(w.picture, w.grid, w.stride, w.size, w.padding, strict=True):
            assert all(o * s - before < pixels and o * s - before + k > 0 for o in range(count))


def test_taps_are_views_of_what_every_window_has_there():
    w = windows((6, 9), (2, 3), (2, 1), ((1, 0), (0, 2)), (3, 2))
    padded = np.arange(7 * 11).reshape(7, 11)
    for i, j, (rows, columns) in w.taps():
        met = padded[rows, columns]
        assert met.shape == w.grid == (2, 7)
        for h, v in np.ndindex(*w.grid):
            assert met[h, v] == padded[h * 2 + i * 3, v + j * 2]


def test_the_reach_covers_the_window_that_hangs_over():
    w = pooling_windows((6, 7), 3, 2, 1, ceil_mode=True)
    assert w.grid == (4, 4)
    assert w.reach() == ((1, 2), (1, 1))
    assert not w.plain
    assert pooling_windows((6, 8), 2, None, 0, ceil_mode=True).plain


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (2, ((2, 2), (2, 2))),
        (np.int64(1), ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
        (((0, 1), (2, 3)), ((0, 1), (2, 3))),
        ([[0, 1], [2, 3]], ((0, 1), (2, 3))),
    ],
)
def test_padding_in_its_three_forms(padding, expected):
    assert sides(padding) == expected


def test_pairs():
    assert pair("stride", 2, 1) == (2, 2)
    assert pair("stride", (np.int32(2), 3), 1) == (2, 3)


PICTURES = {
    "conv2d": {"x": np.zeros((1, 5, 6, 4), np.float32), "W": np.zeros((3, 3, 4, 4), np.float32)},
    "depthwise_conv2d": {"x": np.zeros((1, 5, 6, 4), np.float32), "W": np.zeros((3, 3, 4), np.float32)},
    "max_pool2d": {"x": np.zeros((1, 5, 6, 4), np.float32), "size": 3},
    "avg_pool2d": {"x": np.zeros((1, 5, 6, 4), np.float32), "size": 3},
}
CONVOLUTIONS, POOLS = ("conv2d", "depthwise_conv2d"), ("max_pool2d", "avg_pool2d")
WRONG = [
    (tuple(PICTURES), {"stride": 0}, "stride must be at least 1; it is 0"),
    (tuple(PICTURES), {"stride": (2, 0)}, r"stride must be at least 1; it is \(2, 0\)"),
    (tuple(PICTURES), {"stride": (1, 2, 3)}, r"stride must be a whole number, or a pair \(rows, columns\); it is \(1, 2, 3\)"),
    (tuple(PICTURES), {"stride": 1.5}, "stride must be a whole number, or a pair"),
    (tuple(PICTURES), {"padding": -1}, "padding must be at least 0; it is -1"),
    (tuple(PICTURES), {"padding": ((0, 1), (0, -1))}, "padding must be at least 0"),
    (tuple(PICTURES), {"padding": (1, 1, 1, 1)}, r"padding must be .* or \(\(top, bottom\), \(left, right\)\); it is \(1, "),
    (tuple(PICTURES), {"padding": (1, (1, 1))}, "padding must be a whole number, a pair"),
    (CONVOLUTIONS, {"dilation": 0}, "dilation must be at least 1; it is 0"),
    (CONVOLUTIONS, {"dilation": 3}, "a 3x3 window of dilation 3 spans 7x7, and does not fit into x, which is 5x6$"),
    (CONVOLUTIONS, {"dilation": (1, 4), "padding": 1}, r"dilation \(1, 4\) spans 3x9, and does not fit .* 5x6 with padding 1"),
    (("conv2d",), {"groups": 3}, "groups must divide the channels of x, 4, and those of y, 4; it is 3"),
    (("conv2d",), {"groups": 0}, "groups must divide"),
    (POOLS, {"size": (3,)}, r"size must be a whole number, or a pair \(rows, columns\); it is \(3,\)"),
    (POOLS, {"size": 0}, "size must be at least 1; it is 0"),
    (POOLS, {"size": 7}, "a 7x7 window does not fit into x, which is 5x6$"),
    (POOLS, {"padding": 2}, "padding may be at most half of the window, which is 3x3; it is 2"),
    (POOLS, {"size": (3, 1), "padding": (1, 1)}, "padding may be at most half of the window, which is 3x1"),
    (POOLS, {"padding": ((3, 0), (0, 0))}, "padding must be smaller than the window, which is 3x3 and must see a pixel"),
]  # fmt: skip


@pytest.mark.parametrize("variant", ["reference", "numba_cpu", "cuda"])
@pytest.mark.parametrize(
    ("name", "settings", "message"), [(name, settings, message) for names, settings, message in WRONG for name in names]
)
def test_a_setting_that_is_none_is_named(name, variant, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        getattr(ops, name).variant(variant).forward(**PICTURES[name] | settings)
    assert "\n" not in str(error.value)
