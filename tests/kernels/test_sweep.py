"""Sweeps over memory: the compiled ones do what plain array code does."""

import numpy as np
import pytest

from scratchlv.kernels.building_blocks import sweep

rng = np.random.default_rng(0)
SIZES = [0, 1, sweep.SMALL_BLOCK, sweep.BLOCK + 1, 3 * sweep.BLOCK - 5]
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def unit_size(source, dtype, extra=2):
    target = np.full((*source.shape[:3], source.shape[3] + extra), 7, dtype)
    sweep.to_unit_size(source.astype(dtype), target)
    assert (target[..., source.shape[3] :] == 7).all()  # is not ours to write
    return target[..., : source.shape[3]]


@dtypes
@pytest.mark.parametrize("shape", [(3, 2, 5, 7), (2, 3, 3, 64), (5, 1, 1, 1), (0, 2, 2, 3), (2, 0, 2, 3)])
def test_pictures_get_a_mean_square_of_one(dtype, shape):
    source = rng.standard_normal(shape) * rng.uniform(0.1, 100, (shape[0], 1, 1, 1))
    mean_square = (source**2).sum(axis=(1, 2, 3), keepdims=True) / max(1, np.prod(shape[1:]))
    np.testing.assert_allclose(unit_size(source, dtype), source / np.sqrt(mean_square), rtol=1e-5)


@dtypes
def test_a_picture_of_zeros_stays_one_and_nan_stays_in_its_picture(dtype):
    source = rng.standard_normal((3, 2, 2, 33))
    source[0], source[1, 0, 0, 0] = 0, np.nan
    found = unit_size(source, dtype)
    assert (found[0] == 0).all()
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[2]).all()


def test_pictures_that_lie_strided_or_read_only():
    whole = rng.standard_normal((2, 3, 4, 10)).astype(np.float32)
    expected = unit_size(whole[..., ::2].copy(), np.float32)
    strided, target = whole[..., ::2], np.empty((2, 3, 4, 5), np.float32)
    strided.flags.writeable = False
    sweep.to_unit_size(strided, target)
    np.testing.assert_array_equal(target, expected)


@dtypes
@pytest.mark.parametrize("size", SIZES)
def test_tanh_in_place(dtype, size):
    x = (3 * rng.standard_normal((size, 1))).astype(dtype)
    expected = np.tanh(x.astype(np.float64))
    assert sweep.tanh_in_place(x) is x
    np.testing.assert_allclose(x, expected, rtol=0, atol=4e-7)


@dtypes
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("size", SIZES)
def test_tanh_backward_adds_up_what_every_use_sends(dtype, count, size):
    y = rng.uniform(-1, 1, (size, 1)).astype(dtype)
    dy = [rng.standard_normal((size, 1)).astype(dtype) for _ in range(count)]
    expected = (1 - y.astype(np.float64) ** 2) * sum(d.astype(np.float64) for d in dy)
    dx = sweep.tanh_backward(y, dy)
    assert dx is dy[0]
    np.testing.assert_allclose(dx, expected, rtol=0, atol=2e-6)
