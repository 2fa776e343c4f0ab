"""VGG16: thirteen convolutions of 3x3 and three fully connected layers; the network that the lecture's attention looks through.

Simonyan & Zisserman 2015. Five blocks; in each, two or three convolutions with ReLU, and after it 2x2 max-pooling. The layers, of
224 x 224 pixels, each as it is before the pooling that may follow:

    conv1_1, conv1_2 224 x 224 x 64    conv2_1 … 112 x 112 x 128    conv3_1 … 56 x 56 x 256    conv4_1 … 28 x 28 x 512
    conv5_1, conv5_2, conv5_3 14 x 14 x 512    fc6, fc7 4096    fc8 1000

What attention looks at are the 14 x 14 = 196 regions of conv5_3; the feature of a whole picture is fc7, after its ReLU. The fully
connected layers, nine tenths of the weights, are without the dropout that the network was trained with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.device import on_gpu
from scratchlv.ops import max_pool2d
from scratchlv.vision import imagenet, units
from scratchlv.vision.units import Unit, Way

_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels out of each convolution
_OWN_CACHE = 3  # blocks that a picture goes through by itself on a CPU, to stay in its cache; weights are large later


class _Step(NamedTuple):
    layer: str
    pool_before: bool  # what is below is not pooled yet
    pool: bool


@dataclass(frozen=True)
class VGG:
    """The architecture: shapes and names, and what is computed; the weights are others'."""

    name: str = "vgg16"
    title: str = "VGG16"
    side: int = 224
    blocks: tuple[tuple[int, ...], ...] = _BLOCKS
    wide: int = 4096  # numbers of fc6 and fc7
    classes: int = 1000
    crop: int = 256  # of photographs, where their middle is cut out
    eps: float = 0.0  # it has no batch normalisation
    regions: str = "conv5_3"  # what attention looks at
    vector: str = "fc7"  # for models that do not attend

    @property
    def layers(self) -> tuple[str, ...]:
        """From the picture up."""
        convolutions = [f"conv{k}_{i}" for k, block in enumerate(self.blocks, 1) for i in range(1, len(block) + 1)]
        return (*convolutions, "fc6", "fc7", "fc8")

    def shape(self, layer: str) -> tuple[int, int, int]:
        """Of the features of one picture."""
        if layer.startswith("fc"):
            return 1, 1, self.classes if layer == "fc8" else self.wide
        block, i = map(int, layer.removeprefix("conv").split("_"))
        side = self.side >> block - 1
        return side, side, self.blocks[block - 1][i - 1]

    def units(self) -> Iterator[Unit]:
        """From the picture up."""
        number, C = 0, 3
        for block, channels in enumerate(self.blocks, 1):
            for i, M in enumerate(channels, 1):
                yield Unit(f"conv{block}_{i}", f"conv{block}_{i}", f"features.{number}", None, (3, 3, C, M))
                number, C = number + 2, M  # ReLU has a number too
            number += 1  # … and pooling
        side = self.side >> len(self.blocks)
        yield Unit("fc6", "fc6", "classifier.0", None, (side * side * C, self.wide), (side, side))
        yield Unit("fc7", "fc7", "classifier.3", None, (self.wide, self.wide))
        yield Unit("fc8", "fc8", "classifier.6", None, (self.wide, self.classes))

    def preprocess(self, images: Array, dtype: Any = np.float32) -> Array:
        """Bytes of RGB to numbers of mean 0 and deviation 1 over ImageNet."""
        return imagenet.normalise(images, dtype)

    def forward(self, way: Way, x: Array, layers: Sequence[str], *, need_dx: bool = True) -> tuple[Array, list]:
        """From what is below the first of ``layers`` (preprocessed pictures, below conv1_1) to what the last makes of it."""
        steps = list(self._steps(layers))
        first = 0
        if not way.train and len(x) > 1 and not on_gpu(x):
            first = sum(step.layer < f"conv{_OWN_CACHE + 1}" for step in steps)
            if first:
                x = np.concatenate([self._forward(way, picture, steps[:first])[0] for picture in x[:, None]])
        return self._forward(way, x, steps[first:], need_dx)

    def backward(self, dx: Array, caches: list) -> tuple[Array | None, dict[str, Array]]:
        """The gradient of what was below, None where nobody wants it, and those of the parameters by name."""
        grads: dict[str, Array] = {}
        for pooled, flattened, cache in reversed(caches):
            dx = units.backward(dx, cache, grads)
            if flattened is not None and dx is not None:
                dx = dx.reshape(flattened)
            if pooled is not None and dx is not None:
                (dx,) = max_pool2d.backward(dx, pooled)
        return dx, grads

    def _forward(self, way: Way, x: Array, steps: Sequence[_Step], need_dx: bool = True) -> tuple[Array, list]:
        caches: list = []
        for layer, pool_before, pool in steps:
            pooled = flattened = None
            if pool_before:
                x, pooled = max_pool2d.forward(x, size=2, train=way.train)
            if layer == "fc6":
                flattened = x.shape
                x = x.reshape(len(x), 1, 1, -1)  # (N, 1, 1, 25088)
            x, cache = units.forward(way, layer, x, padding=1, rectify=layer != "fc8", pool=pool, need_dx=need_dx)
            caches.append((pooled, flattened, cache))
            need_dx = True
        return x, caches

    def _steps(self, layers: Sequence[str]) -> Iterator[_Step]:
        """A pooling goes with the convolution before it, which can do it on its way, unless that has run before."""
        for i, layer in enumerate(layers):
            yield _Step(layer, i == 0 and self._pooled(layer), i + 1 < len(layers) and self._pooled(layers[i + 1]))

    def _pooled(self, layer: str) -> bool:
        """Whether a pooling stands below the layer."""
        return layer == "fc6" or layer.endswith("_1") and layer != "conv1_1"


VGG16 = VGG()
