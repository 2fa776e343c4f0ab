"""Networks whose upper layers are trained with a model: every gradient of the whole, and what stays as it is."""

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import check_model
from scratchlv.vision import finetuning
from scratchlv.vision.finetuning import Finetuned

from .small_networks import NETWORKS, VGG_, weights_of

CASES = [(name, statistics) for name in NETWORKS for statistics in (False, True) if name != VGG_.name or not statistics]


def pictures(network, n=3, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (n, network.side, network.side, 3))


@pytest.mark.parametrize(("name", "statistics"), CASES)
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
