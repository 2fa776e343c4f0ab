"""Networks whose upper layers are trained with a model: every gradient of the whole, and what stays as it is."""

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import check_model
from scratchlv.vision import finetuning, units
from scratchlv.vision.finetuning import Finetuned
from scratchlv.vision.units import Way

from ..slow import one_of
from .small_networks import LITE, NETWORKS, RESNET, VGG_, weights_of

CASES = [(name, statistics) for name in NETWORKS for statistics in (False, True) if name != VGG_.name or not statistics]


def pictures(network, n=3, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (n, network.side, network.side, 3))


@pytest.mark.parametrize(("name", "statistics"), one_of(2, CASES))
def test_every_gradient_of_a_whole_network(name, statistics):
    """All layers, from the pictures to the classes, in float64."""
    network = NETWORKS[name]
    finetuned = Finetuned(network, network.layers, statistics)
    params, buffers = finetuning.load(weights_of(network), finetuned)
    params, buffers = ({key: array.astype(np.float64) for key, array in part.items()} for part in (params, buffers))
    x = pictures(network)
    dy = np.random.default_rng(1).standard_normal((len(x), 1, 1, network.classes))

    def loss(params):
        return float((finetuning.forward(params, dict(buffers), x, finetuned)[0] * dy).sum())

    def loss_and_grads(params):
        y, cache = finetuning.forward(params, dict(buffers), x, finetuned)
        return float((y * dy).sum()), finetuning.backward(dy, cache)

    with scratchlv.use("reference"):
        report = check_model(params, loss_and_grads, loss=loss, seed=1, max_elements=3)
    assert report.ok, report


@pytest.mark.parametrize(("network", "first"), [(RESNET, "layer2"), (VGG_, "conv3_1"), (VGG_, "fc6"), (LITE, "stage3")])
def test_the_upper_layers_alone_have_the_gradients_that_they_have_in_the_whole(network, first):
    """From what is below them; the frozen part gives just that."""
    at = network.layers.index(first)
    params, buffers = units.unpacked(weights_of(network), network.units())
    params, buffers = ({key: array.astype(np.float64) for key, array in part.items()} for part in (params, buffers))
    way = Way(params, buffers, network.eps, train=True)
    dy = np.random.default_rng(1).standard_normal((3, 1, 1, network.classes))
    with scratchlv.use("reference"):
        x = network.preprocess(pictures(network), np.float64)
        y, caches = network.forward(way, x, network.layers)
        _, grads = network.backward(dy, caches)
        below, _ = network.forward(way._replace(train=False), x, network.layers[:at])
        finetuned = Finetuned(network, network.layers[at:])
        assert not finetuned.from_pictures
        own = {finetuning.PREFIX + key: array for key, array in params.items()}
        statistics = {finetuning.PREFIX + key: array for key, array in buffers.items()}
        top, cache = finetuning.forward(own, statistics, below, finetuned)
        found = finetuning.backward(dy, cache)
    np.testing.assert_allclose(top, y, rtol=1e-10, atol=1e-10 * abs(y).max())
    assert found.keys() == finetuning.init(np.random.default_rng(0), finetuned)[0].keys()
    for name, grad in found.items():
        wanted = grads[name.removeprefix(finetuning.PREFIX)]
        np.testing.assert_allclose(grad, wanted, rtol=1e-9, atol=1e-9 * abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize("network", [RESNET, LITE], ids=lambda network: network.name)
def test_kernels_in_float32(network):
    """The whole network against the reference in float64. ReLU's corners would differ: all is moved away from them."""
    finetuned = Finetuned(network, network.layers)
    params, buffers = finetuning.load(weights_of(network), finetuned)
    params = {name: array + np.float32(9 * name.endswith("beta")) for name, array in params.items()}
    if network is LITE:  # … and from ReLU6's
        params = {
            name: array * np.float32(0.3 if name.endswith(("beta", "gamma")) else 1) for name, array in params.items()
        }
    x = pictures(network).astype(np.float32)
    dy = np.random.default_rng(1).standard_normal((len(x), 1, 1, network.classes))
    y, cache = finetuning.forward(params, buffers, x, finetuned)
    grads = finetuning.backward(dy.astype(np.float32), cache)
    exact, statistics = ({name: a.astype(np.float64) for name, a in part.items()} for part in (params, buffers))
    with scratchlv.use("reference"):
        expected, cache = finetuning.forward(exact, statistics, x.astype(np.float64), finetuned)
        wanted = finetuning.backward(dy, cache)
    np.testing.assert_allclose(y, expected, atol=1e-4 * abs(expected).max())
    for name, grad in grads.items():
        assert grad.dtype == np.float32
        np.testing.assert_allclose(grad, wanted[name], atol=1e-3 * abs(wanted[name]).max() + 1e-12, err_msg=name)


def test_batch_statistics_move_with_the_training_and_frozen_ones_never():
    x = pictures(RESNET).astype(np.float32)
    for moves in (False, True):
        finetuned = Finetuned(RESNET, RESNET.layers, moves)
        params, buffers = finetuning.load(weights_of(RESNET), finetuned)
        before = dict(buffers)
        finetuning.forward(params, buffers, x, finetuned, train=False)
        assert all(buffers[name] is array for name, array in before.items())
        finetuning.forward(params, buffers, x, finetuned)
        assert buffers.keys() == before.keys()
        assert all((buffers[name] is not array) == moves for name, array in before.items())
