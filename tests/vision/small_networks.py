"""The architectures of the pretrained networks, a few channels wide and a few pixels large; and files of weights for them."""

import numpy as np

from scratchlv.vision.efficientnet_lite import EfficientNetLite, Stage
from scratchlv.vision.resnet import ResNet
from scratchlv.vision.vgg import VGG

RESNET = ResNet(name="small-resnet", side=33, blocks=(2, 1), width=3, classes=5)
VGG_ = VGG(name="small-vgg", side=13, blocks=((3, 4), (5,), (4, 6)), wide=7, classes=5, regions="conv3_2")
LITE = EfficientNetLite(
    name="small-lite",
    side=21,
    stages=(Stage(1, 3, 1, 1, 4), Stage(2, 5, 2, 6, 5), Stage(2, 3, 1, 2, 5)),
    stem=3,
    head=8,
    classes=5,
    regions="stage3",
    vector="stage3",
)
NETWORKS = {network.name: network for network in (RESNET, VGG_, LITE)}


def weights_of(network, seed: int = 0, layers=None) -> dict[str, np.ndarray]:
    """As a file has them, of a size that keeps the activations' size from layer to layer; of some layers, or of all."""
    rng = np.random.default_rng(seed)
    found = {}
    for unit in network.units():
        if layers is not None and unit.layer not in layers:
            continue
        for name, shape in unit.arrays().items():
            part = name.rpartition(".")[2]
            if len(shape) > 1:
                array = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            elif part in ("weight", "running_var"):
                array = rng.uniform(0.6, 1.4, shape)
            else:
                array = rng.normal(0, 0.2, shape)
            found[name] = array.astype(np.float32)
    return found
