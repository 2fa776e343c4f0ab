"""The vector of a whole picture: gradients, both ways to make it, and that it can learn at all."""

import numpy as np
import pytest

import scratchlv
from scratchlv.gradcheck import check_model
from scratchlv.vision import image_feature

N, L, D, WIDTH = 4, 6, 3, 5


def make(flat):
    rng = np.random.default_rng(0)
    params, buffers = image_feature.init(rng, L if flat else None, D, WIDTH)
    regions = np.maximum(rng.standard_normal((N, L, D)), 0) + 0.5  # as they come out of a rectifier
    return {name: value.astype(float) for name, value in params.items()}, buffers, regions


@pytest.mark.parametrize("flat", [True, False])
def test_gradients(flat):
    params, buffers, regions = make(flat)
    dv = np.random.default_rng(1).standard_normal((N, WIDTH))

    def loss_and_grads(params):
        v, cache = image_feature.forward(params, dict(buffers), params["x"])
        dx, grads = image_feature.backward(dv, cache)
        return (v * dv).sum(), {**grads, "x": dx}

    with scratchlv.use("reference"):
        report = check_model({**params, "x": regions}, loss_and_grads, seed=1)
    assert report.ok, str(report)


def test_the_mean_forgets_the_order_of_regions_and_the_flat_layer_does_not():
    for flat in (True, False):
        params, buffers, regions = make(flat)
        here, _ = image_feature.forward(params, buffers, regions, train=False)
        there, _ = image_feature.forward(params, buffers, regions[:, ::-1], train=False)
        assert np.allclose(here, there) != flat


def test_pictures_differ_in_it_however_large_what_they_share():
    """All features far above zero: without normalisation every unit would be on, or off, for all pictures alike."""
    params, buffers, regions = make(flat=True)
    v, _ = image_feature.forward(params, buffers, regions + 100.0)
    on = (v > 0).sum(axis=0)
    assert (on > 0).all()
    assert (on < N).all()


def test_training_moves_the_running_statistics_and_use_does_not():
    params, buffers, regions = make(flat=True)
    before = dict(buffers)
    image_feature.forward(params, buffers, regions, train=False)
    assert all(buffers[name] is before[name] for name in before)
    image_feature.forward(params, buffers, regions)
    assert not np.array_equal(buffers["image.mean"], before["image.mean"])
