"""A picture as regions, each with its place."""

import numpy as np
import pytest

from scratchlv.vision import regions

rng = np.random.default_rng(0)


def test_each_region_knows_where_it_is():
    features = rng.standard_normal((2, 3, 4, 5))
    x, cache = regions.forward({}, {}, features, 5, np.float64, train=True)
    assert (x.shape, cache) == ((2, 12, 7), None)
    np.testing.assert_allclose(x[1, :, 5], np.tile([-1, -1 / 3, 1 / 3, 1], 3))  # across
    np.testing.assert_allclose(x[1, :, 6], np.repeat([-1, 0, 1], 4))  # down
    assert regions.backward(np.ones_like(x), cache) == {}


def test_waves_of_the_place_follow_its_coordinates():
    features = rng.standard_normal((2, 3, 4, 5))
    x, _ = regions.forward({}, {}, features, 5, np.float64, frequencies=2, train=False)
    without, _ = regions.forward({}, {}, features, 5, np.float64, train=False)
    assert x.shape == (2, 12, 15)
    np.testing.assert_array_equal(x[..., :7], without)
    for k, first in ((1, 7), (2, 11)):
        angles = k * np.pi / 2 * x[..., 5:7]  # of the coordinates: across and down
        np.testing.assert_allclose(x[..., first : first + 2], np.sin(angles), atol=1e-15)
        np.testing.assert_allclose(x[..., first + 2 : first + 4], np.cos(angles), atol=1e-15)


def test_pretrained_features_get_a_mean_square_of_1_picture_by_picture():
    features = rng.standard_normal((2, 3, 4, 5)) * np.array([0.1, 50]).reshape(2, 1, 1, 1)
    x, _ = regions.forward({}, {}, features, 5, np.float64, train=False)
    np.testing.assert_allclose((x[:, :, :5] ** 2).mean(axis=(1, 2)), 1)
    np.testing.assert_allclose(x[0, :, :5] / x[0, 0, 0], features[0].reshape(12, 5) / features[0, 0, 0, 0])


def test_one_row_or_column_lies_in_the_middle():
    x, _ = regions.forward({}, {}, rng.standard_normal((1, 1, 1, 2)), 2, np.float64, train=False)
    np.testing.assert_array_equal(x[0, 0, 2:], [0, 0])


@pytest.mark.parametrize("frequencies", [0, 3])
@pytest.mark.parametrize("feature_channels", [None, 7])
def test_the_width_is_that_of_the_regions(feature_channels, frequencies):
    channels = (2, 3, 4)
    params, buffers = regions.init(rng, channels, feature_channels)
    pictures = rng.integers(0, 256, (2, 16, 16, 3), np.uint8) if params else rng.standard_normal((2, 3, 2, 7))
    x, _ = regions.forward(params, buffers, pictures, feature_channels, frequencies=frequencies, train=False)
    assert x.shape[2] == regions.width(channels, feature_channels, frequencies)
