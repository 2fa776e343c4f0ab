"""The conv net that is trained from nothing."""

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import check_model
from scratchlv.vision import conv_extractor

rng = np.random.default_rng(0)


def made(channels=(2, 3, 4)):
    params, buffers = conv_extractor.init(rng, channels)
    return {k: v.astype(np.float64) for k, v in params.items()}, {k: v.astype(np.float64) for k, v in buffers.items()}


def test_every_gradient():
    params, buffers = made()
    x, dy = rng.standard_normal((3, 16, 24, 3)), rng.standard_normal((3, 2, 3, 4))

    def forward(params):
        y, caches = conv_extractor.forward(params, dict(buffers), x)
        return (y * dy).sum(), caches

    def loss_and_grads(params):
        loss, caches = forward(params)
        return loss, conv_extractor.backward(dy, caches)

    with scratchlv.use("reference"):
        report = check_model(params, loss_and_grads, loss=lambda params: forward(params)[0], seed=1, max_elements=20)
    assert report.ok, str(report)


def test_bytes_become_numbers_from_minus_one_to_one():
    x = conv_extractor.preprocess(np.array([0, 51, 255], np.uint8))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [-1, -0.6, 1], atol=1e-7)


def test_a_picture_becomes_a_grid():
    params, buffers = conv_extractor.init(rng, (2, 3, 4))
    side, grid = conv_extractor.SIDE, conv_extractor.GRID
    y, _ = conv_extractor.forward(params, buffers, np.zeros((1, side, side, 3), np.float32), train=False)
    assert y.shape == (1, grid, grid, 4)


def test_training_takes_in_the_statistics_and_use_leaves_them():
    params, buffers = made()
    before = {name: value.copy() for name, value in buffers.items()}
    x = rng.standard_normal((2, 16, 16, 3)) + 1
    with scratchlv.use("reference"):
        conv_extractor.forward(params, buffers, x, train=False)
        assert all((buffers[name] == before[name]).all() for name in before)
        conv_extractor.forward(params, buffers, x)
    assert all((buffers[name] != before[name]).any() for name in before)


@pytest.mark.parametrize("block", range(3))
def test_no_block_is_idle(block):
    """Every block's weights change what comes out."""
    params, buffers = made()
    x = rng.standard_normal((1, 16, 16, 3))
    with scratchlv.use("reference"):
        before, _ = conv_extractor.forward(params, buffers, x, train=False)
        params[f"conv{block + 1}.gamma"] *= 2
        after, _ = conv_extractor.forward(params, buffers, x, train=False)
    assert (before != after).any()
