"""ResNet-50 (He et al. 2016): the network whose pooled 2048 numbers are the lecture's CNN feature.

Sixteen bottlenecks in four layers. Each adds to its input what it would change of it, so that a gradient always has a way back
that no weight is on:

    y = relu(x + F(x)),    F: 1x1 to a quarter of the channels, 3x3, 1x1 to all of them, each normalised over the batch

Where the shape changes, x goes through a 1x1 convolution, too. The picture shrinks in the 3x3 convolution of a layer's first
bottleneck, as torchvision has it (the paper: in the 1x1 before). The layers, of 224 x 224 pixels:

    conv1 56 x 56 x 64 (7x7, then 3x3 max-pooling)    layer1 56 x 56 x 256    layer2 28 x 28 x 512    layer3 14 x 14 x 1024
    layer4 7 x 7 x 2048                               avgpool 2048            fc 1000
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.ops import avg_pool2d, max_pool2d, relu
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import imagenet, units
from scratchlv.vision.units import Unit, Way

_WIDER = 4  # a bottleneck has so many times as many channels outside as inside


class Bottleneck(NamedTuple):
    key: str
    stride: int
    channels_in: int
    inside: int

    @property
    def channels_out(self) -> int:
        return _WIDER * self.inside

    @property
    def changes(self) -> bool:
        """Whether the shape does."""
        return self.stride > 1 or self.channels_in != self.channels_out


@dataclass(frozen=True)
class ResNet:
    """The architecture: shapes and names, and what is computed; the weights are others'."""

    name: str = "resnet50"
    title: str = "ResNet-50"
    side: int = 224
    blocks: tuple[int, ...] = (3, 4, 6, 3)  # in each layer
    width: int = 64  # channels after conv1, and inside the bottlenecks of layer1
    classes: int = 1000
    crop: int = 256  # of photographs, where their middle is cut out
    eps: float = 1e-5  # of the batch normalisations
    regions: str = "layer4"  # what attention looks at
    vector: str = "avgpool"  # for models that do not attend

    @property
    def layers(self) -> tuple[str, ...]:
        """From the picture up."""
        return ("conv1", *(f"layer{k}" for k in range(1, len(self.blocks) + 1)), "avgpool", "fc")

    def bottlenecks(self, layer: str) -> Iterator[Bottleneck]:
        """Those of a layer."""
        channels = self.width
        for k, repeats in enumerate(self.blocks):
            inside = self.width << k
            for i in range(repeats):
                if layer == f"layer{k + 1}":
                    yield Bottleneck(f"{layer}.{i}", 2 if k and not i else 1, channels, inside)
                channels = _WIDER * inside

    def shape(self, layer: str) -> tuple[int, int, int]:
        """Of the features of one picture."""
        top = {"avgpool": (1, 1, self._channels), "fc": (1, 1, self.classes)}
        if layer in top:
            return top[layer]
        side, channels = -(-self.side // 4), self.width
        for k in range(self.layers.index(layer)):
            side, channels = -(-side // (2 if k else 1)), _WIDER * self.width << k
        return side, side, channels

    @property
    def _channels(self) -> int:
        """That come out of the last of the layers."""
        return _WIDER * self.width << len(self.blocks) - 1

    def units(self) -> Iterator[Unit]:
        """From the picture up."""
        yield Unit("conv1", "conv1", "conv1", "bn1", (7, 7, 3, self.width))
        for layer in self.layers:
            for block in self.bottlenecks(layer):
                key, _, channels_in, inside = block
                yield Unit(layer, f"{key}.conv1", f"{key}.conv1", f"{key}.bn1", (channels_in, inside))
                yield Unit(layer, f"{key}.conv2", f"{key}.conv2", f"{key}.bn2", (3, 3, inside, inside))
                yield Unit(layer, f"{key}.conv3", f"{key}.conv3", f"{key}.bn3", (inside, block.channels_out))
                if block.changes:
                    name, shape = f"{key}.downsample", (channels_in, block.channels_out)
                    yield Unit(layer, name, f"{name}.0", f"{name}.1", shape)
        yield Unit("fc", "fc", "fc", None, (self._channels, self.classes))

    def preprocess(self, images: Array, dtype: Any = np.float32) -> Array:
        """Bytes of RGB to numbers of mean 0 and deviation 1 over ImageNet."""
        return imagenet.normalise(images, dtype)

    def forward(self, way: Way, x: Array, layers: Sequence[str], *, need_dx: bool = True) -> tuple[Array, list]:
        """From what is below the first of ``layers`` (preprocessed pictures, below conv1) to what the last makes of it."""
        caches: list = []
        for layer in layers:
            if layer == "conv1":
                x, conv = units.forward(way, "conv1", x, stride=2, padding=3, need_dx=False)  # (N, 112, 112, C)
                x, pool = max_pool2d.forward(x, size=3, stride=2, padding=1, train=way.train)  # (N, 56, 56, C)
                caches.append((layer, (conv, pool)))
            elif layer == "avgpool":
                x, pool = avg_pool2d.forward(x, size=None, train=way.train)  # (N, 1, 1, C)
                caches.append((layer, pool))
            elif layer == "fc":
                x, fc = units.forward(way, "fc", x, rectify=False, need_dx=need_dx)
                caches.append((layer, fc))
            else:
                for block in self.bottlenecks(layer):
                    x, cache = _forward(way, block, x, need_dx)
                    caches.append((layer, cache))
                    need_dx = True
            need_dx = True
        return x, caches

    def backward(self, dx: Array, caches: list, ready: Ready = nobody_waits) -> tuple[Array | None, dict[str, Array]]:
        """The gradient of what was below, None where nobody wants it, and those of the parameters by name."""
        grads: dict[str, Array] = {}
        for layer, cache in reversed(caches):
            if layer == "fc":
                dx = units.backward(dx, cache, grads)
            elif layer == "avgpool":
                (dx,) = avg_pool2d.backward(dx, cache)
            elif layer == "conv1":
                conv, pool = cache
                (dx,) = max_pool2d.backward(dx, pool)
                dx = units.backward(dx, conv, grads)
            else:
                dx = _backward(dx, cache, grads)
            ready(grads)
        return dx, grads


def _forward(way: Way, block: Bottleneck, x: Array, need_dx: bool) -> tuple[Array, Any]:
    key, before, downsample = block.key, x, None
    x, conv1 = units.forward(way, f"{key}.conv1", x, need_dx=need_dx)
    x, conv2 = units.forward(way, f"{key}.conv2", x, stride=block.stride, padding=1)
    x, conv3 = units.forward(way, f"{key}.conv3", x, rectify=False)
    if block.changes:
        before, downsample = units.forward(
            way, f"{key}.downsample", before, stride=block.stride, rectify=False, need_dx=need_dx
        )
    x += before
    x, rectifier = relu.forward(x, train=way.train)
    return x, (conv1, conv2, conv3, downsample, rectifier)


def _backward(dy: Array, cache: Any, grads: dict[str, Array]) -> Array | None:
    conv1, conv2, conv3, downsample, rectifier = cache
    (dbefore,) = relu.backward(dy, rectifier)  # x + F(x): both have the gradient of their sum
    dx = units.backward(dbefore, conv3, grads)
    dx = units.backward(dx, conv2, grads)
    dx = units.backward(dx, conv1, grads)
    if downsample is not None:
        dbefore = units.backward(dbefore, downsample, grads)
    if dx is not None:
        dx += dbefore
    return dx


RESNET50 = ResNet()
