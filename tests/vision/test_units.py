"""A convolution, a batch normalisation, a rectifier: as they are in a file, folded into one, and back."""

import numpy as np
import pytest

from scratchlv.ops import batch_norm2d, conv2d, depthwise_conv2d, linear
from scratchlv.vision import units
from scratchlv.vision.units import Unit, Way, fold


@pytest.mark.parametrize("operation", [conv2d, depthwise_conv2d, linear], ids=lambda o: o.name)
def test_folding_changes_nothing(operation):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, 5, 4, 3))
    W = rng.standard_normal({"depthwise_conv2d": (3, 2, 3), "linear": (3, 7)}.get(operation.name, (3, 2, 3, 7)))
    gamma, beta, mean = rng.standard_normal((3, W.shape[-1]))
    var = rng.uniform(0.1, 2, W.shape[-1])
    y, _ = operation.forward(x, W, train=False)
    expected, _ = batch_norm2d.forward(y, gamma, beta, running_mean=mean, running_var=var, eps=0.3, train=False)
    folded, _ = operation.forward(x, *fold(W, gamma, beta, mean, var, eps=0.3), train=False)
    np.testing.assert_allclose(folded, expected, rtol=1e-12, atol=1e-12)


def test_pytorchs_layouts():
    """Each kind of weight, at one place of it."""
    rng = np.random.default_rng(0)
    conv = Unit("a", "a", "a", "n", (2, 3, 4, 5))
    weight = rng.standard_normal(conv.arrays()["a.weight"])
    assert weight.shape == (5, 4, 2, 3)
    assert conv.ours(weight)[1, 2, 3, 4] == weight[4, 3, 1, 2]
    depthwise = Unit("a", "a", "a", "n", (2, 3, 4))
    weight = rng.standard_normal(depthwise.arrays()["a.weight"])
    assert weight.shape == (4, 1, 2, 3)
    assert depthwise.ours(weight)[1, 2, 3] == weight[3, 0, 1, 2]
    pointwise = Unit("a", "a", "a", "n", (4, 5))
    weight = rng.standard_normal(pointwise.arrays()["a.weight"])
    assert weight.shape == (5, 4, 1, 1)
    assert pointwise.ours(weight)[3, 4] == weight[4, 3, 0, 0]
    connected = Unit("a", "a", "a", None, (4, 5))
    weight = rng.standard_normal(connected.arrays()["a.weight"])
    assert weight.shape == (5, 4)
    assert connected.ours(weight)[3, 4] == weight[4, 3]
    flat = Unit("a", "a", "a", None, (24, 5), (2, 3))  # of 2 x 3 pixels of 4 channels
    weight = rng.standard_normal(flat.arrays()["a.weight"])
    assert weight.shape == (5, 24)
    x = rng.standard_normal((2, 3, 4))
    np.testing.assert_allclose(x.reshape(-1) @ flat.ours(weight), weight @ x.transpose(2, 0, 1).reshape(-1))


@pytest.mark.parametrize("stride", [2, 3])
def test_a_1x1_convolution_with_a_stride_is_a_product_of_the_pixels_that_it_sees(stride):
    rng = np.random.default_rng(1)
    x, W, b = rng.standard_normal((2, 5, 7, 3)), rng.standard_normal((3, 4)), rng.standard_normal(4)
    y, cache = units.forward(Way({"u.W": W, "u.b": b}, {}, train=True), "u", x, stride=stride, rectify=False)
    expected, conv = conv2d.forward(x, W[None, None], b, stride=stride)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    dy, grads = rng.standard_normal(y.shape), {}
    dx = units.backward(dy, cache, grads)
    wanted = conv2d.backward(dy, conv)
    np.testing.assert_allclose(dx, wanted.dx, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(grads["u.W"], wanted.dW[0, 0], rtol=1e-12)
    np.testing.assert_allclose(grads["u.b"], wanted.db, rtol=1e-12)


def test_statistics_move_only_where_the_batch_s_are_asked_for():
    rng = np.random.default_rng(2)
    params = {"u.W": rng.standard_normal((3, 4)), "u.gamma": np.ones(4), "u.beta": np.zeros(4)}
    x = 3 + rng.standard_normal((2, 5, 7, 3))
    for moves, train in ((False, True), (True, False), (True, True)):
        buffers = {"u.mean": np.zeros(4), "u.var": np.ones(4)}
        before = dict(buffers)
        units.forward(Way(params, buffers, 1e-5, moves, train), "u", x)
        assert (buffers["u.mean"] is not before["u.mean"]) == (moves and train)
        assert not before["u.mean"].any()  # nothing is overwritten
