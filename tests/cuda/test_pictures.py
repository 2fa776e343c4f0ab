"""The rooms that work on pictures: arrays that lie where 16 bytes cannot be read at once, and the kernels that serve a call."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.cuda.emulator import turns
from scratchlv.cuda.versions import use_version
from scratchlv.kernels.conv2d import cuda as conv2d

from .checks import WHY_NOT, versions

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


CALLS = {
    "conv2d": ((normal(2, 6, 5, 8), normal(3, 3, 8, 12), normal(12)), {"padding": 1, "relu": True, "pool": True}),
    "depthwise_conv2d": ((normal(2, 6, 5, 8), normal(3, 3, 8), normal(8)), {"padding": 1}),
    "max_pool2d": ((normal(2, 5, 6, 8),), {}),
    "batch_norm2d": ((normal(2, 6, 5, 8), normal(8), normal(8)), {"relu": True, "pool": True}),
}


def off(array, numbers):
    """The same array, this many numbers behind a multiple of 64 bytes."""
    memory = np.empty(array.size + 32, np.float32)
    start = -memory.ctypes.data % 64 // 4 + numbers
    moved = memory[start : start + array.size].reshape(array.shape)
    moved[...] = array
    assert not moved.size or moved.ctypes.data % 64 == 4 * numbers
    return moved


def run(name, arrays, settings, move=lambda array: array):
    module = getattr(ops, name).variant("cuda")
    y, cache = module.forward(*(move(array) for array in arrays), **settings)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    return [y, *module.backward(move(dy), cache)]


@pytest.mark.parametrize("numbers", [0, 1, 2])
@pytest.mark.parametrize(("name", "number"), [(name, number) for name in CALLS for number in versions(name)])
def test_arrays_may_lie_anywhere(name, number, numbers):
    with use_version(number):
        expected = run(name, *CALLS[name])
        results = run(name, *CALLS[name], lambda array: off(array, numbers))
    for got, same in zip(results, expected, strict=True):
        np.testing.assert_allclose(got, same, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CALLS)
def test_the_order_of_the_threads_changes_no_bit(name):
    expected = run(name, *CALLS[name])
    with turns("shuffled", seed=3):
        for got, same in zip(run(name, *CALLS[name]), expected, strict=True):
            assert got.tobytes() == same.tobytes()


@pytest.mark.parametrize(
    ("C", "M", "groups", "served_by"),
    [(8, 12, 1, 4), (3, 12, 1, 4), (8, 6, 1, 2), (6, 12, 2, 2), (6, 8, 2, 4), (0, 8, 1, 2)],
)
def test_convolution_takes_output_channels_by_four(C, M, groups, served_by):
    W, x = off(normal(3, 3, C // groups, M), 0), off(normal(1, 4, 4, C), 0)
    assert conv2d._version(W, groups, False, x) == served_by
