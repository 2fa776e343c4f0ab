"""EfficientNet-Lite 0, 1 and 2: what networks that have seen ImageNet's million photographs make of a picture.

Tan & Le 2019 (EfficientNet), in the "Lite" version for small devices: no squeeze-and-excitation, and ReLU6 for swish. A
stem, seven stages of inverted bottlenecks (Sandler et al. 2018), a head. A bottleneck widens its channels with a 1x1
convolution, filters each by itself, narrows them again, and adds its input where the shape has not changed:

    (H, W, C) -> 1x1 -> (H, W, eC) -> depthwise k x k, stride s -> (H/s, W/s, eC) -> 1x1, no ReLU -> (H/s, W/s, C')

Lite1 has more bottlenecks in a stage, Lite2 more channels too, and both see larger pictures; stem, head, and the number of
bottlenecks in the first and the last stage stay as they are. The layers, of Lite0 and 224 x 224 pixels:

    stem 112 x 112 x 32    stage1 112 x 112 x 16    stage2 56 x 56 x 24    stage3 28 x 28 x 40    stage4 14 x 14 x 80
    stage5 14 x 14 x 112   stage6 7 x 7 x 192       stage7 7 x 7 x 320     head 7 x 7 x 1280      avgpool 1280    fc 1000
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.ops import avg_pool2d
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import units
from scratchlv.vision.units import Unit, Way


class Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int  # of the first bottleneck
    expansion: int
    channels: int  # that come out


class Bottleneck(NamedTuple):
    key: str
    number: int  # in the file
    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int


_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class EfficientNetLite:
    """The architecture: shapes and names, and what is computed; the weights are others'.

    Attributes:
        side: of the pictures that it was trained on.
        stem, head: channels that come out of them.
    """

    name: str = "efficientnet-lite0"
    title: str = "EfficientNet-Lite0"
    side: int = 224
    stages: tuple[Stage, ...] = _STAGES
    stem: int = 32
    head: int = 1280
    classes: int = 1000
    crop: int = 256  # of photographs, where their middle is cut out: seven eighths of the shorter side
    eps: float = 1e-3  # of the batch normalisations
    regions: str = "stage7"  # the layer that attention looks at
    vector: str = "stage7"  # the layer for models that do not attend; they take the mean of its regions

    @property
    def layers(self) -> tuple[str, ...]:
        """From the picture up."""
        return ("stem", *(f"stage{k}" for k in range(1, len(self.stages) + 1)), "head", "avgpool", "fc")

    def bottlenecks(self, layer: str) -> Iterator[Bottleneck]:
        """Those of a stage."""
        channels, number = self.stem, 0
        for k, (repeats, kernel, stride, expansion, channels_out) in enumerate(self.stages, 1):
            for i in range(repeats):
                if layer == f"stage{k}":
                    step = stride if i == 0 else 1
                    yield Bottleneck(f"{layer}.{i}", number, kernel, step, expansion, channels, channels_out)
                channels, number = channels_out, number + 1

    def shape(self, layer: str) -> tuple[int, int, int]:
        """Of the features of one picture."""
        side, channels = -(-self.side // 2), self.stem
        for k, stage in enumerate(self.stages, 1):
            if self.layers.index(layer) >= k:
                side, channels = -(-side // stage.stride), stage.channels
        top = {"head": (side, side, self.head), "avgpool": (1, 1, self.head), "fc": (1, 1, self.classes)}
        return top.get(layer, (side, side, channels))

    def units(self) -> Iterator[Unit]:
        """From the picture up."""
        yield Unit("stem", "stem", "_conv_stem", "_bn0", (3, 3, 3, self.stem))
        for layer in self.layers:
            for key, number, kernel, _, expansion, channels_in, channels_out in self.bottlenecks(layer):
                name, wide = f"_blocks.{number}", channels_in * expansion
                if expansion > 1:
                    yield Unit(layer, f"{key}.expand", f"{name}._expand_conv", f"{name}._bn0", (channels_in, wide))
                depthwise = (kernel, kernel, wide)
                yield Unit(layer, f"{key}.depthwise", f"{name}._depthwise_conv", f"{name}._bn1", depthwise)
                yield Unit(layer, f"{key}.project", f"{name}._project_conv", f"{name}._bn2", (wide, channels_out))
        yield Unit("head", "head", "_conv_head", "_bn1", (self.stages[-1].channels, self.head))
        yield Unit("fc", "fc", "_fc", None, (self.head, self.classes))

    def preprocess(self, images: Array, dtype: Any = np.float32) -> Array:
        """Bytes 0 to 255 to numbers from -1 to 1."""
        return (images.astype(dtype) - dtype(127)) / dtype(128)

    def forward(self, way: Way, x: Array, layers: Sequence[str], *, need_dx: bool = True) -> tuple[Array, list]:
        """From what is below the first of ``layers`` (preprocessed pictures, below the stem) to what the last makes of it."""
        caches: list = []
        for layer in layers:
            if layer == "stem":
                padding = same(x.shape, 3, 2)
                x, cache = units.forward(way, "stem", x, stride=2, padding=padding, cap=6, need_dx=False)
            elif layer == "head":
                x, cache = units.forward(way, "head", x, cap=6)
            elif layer == "avgpool":
                x, cache = avg_pool2d.forward(x, size=None, train=way.train)  # (N, 1, 1, C)
            elif layer == "fc":
                x, cache = units.forward(way, "fc", x, rectify=False)
            else:
                for block in self.bottlenecks(layer):
                    x, cache = _forward(way, block, x)
                    caches.append((layer, cache))
                continue
            caches.append((layer, cache))
        return x, caches

    def backward(self, dx: Array, caches: list, ready: Ready = nobody_waits) -> tuple[Array | None, dict[str, Array]]:
        """The gradient of what was below, None below the stem, and those of the parameters by name."""
        grads: dict[str, Array] = {}
        for layer, cache in reversed(caches):
            if layer == "avgpool":
                (dx,) = avg_pool2d.backward(dx, cache)
            elif layer in ("fc", "head", "stem"):
                dx = units.backward(dx, cache, grads)
            else:
                dx = _backward(dx, cache, grads)
            ready(grads)
        return dx, grads


def _forward(way: Way, block: Bottleneck, x: Array) -> tuple[Array, Any]:
    before, expand = x, None
    if block.expansion > 1:
        x, expand = units.forward(way, f"{block.key}.expand", x, cap=6)
    padding = same(x.shape, block.kernel, block.stride)
    x, depthwise = units.forward(way, f"{block.key}.depthwise", x, stride=block.stride, padding=padding, cap=6)
    x, project = units.forward(way, f"{block.key}.project", x, rectify=False)
    added = block.stride == 1 and block.channels_in == block.channels_out
    if added:
        x += before
    return x, (expand, depthwise, project, added)


def _backward(dy: Array, cache: Any, grads: dict[str, Array]) -> Array:
    expand, depthwise, project, added = cache
    dx = units.backward(dy, project, grads)
    dx = units.backward(dx, depthwise, grads)
    if expand is not None:
        dx = units.backward(dx, expand, grads)
    if added:
        dx += dy
    return dx


def _scaled(name: str, side: int, width: float, depth: float) -> EfficientNetLite:
    """Compound scaling (Tan & Le 2019): channels by ``width``, to a multiple of 8, and bottlenecks in a stage by ``depth``."""
    stages = []
    for k, stage in enumerate(_STAGES):
        ends = k in (0, len(_STAGES) - 1)
        repeats = stage.repeats if ends else math.ceil(stage.repeats * depth)
        channels = int(stage.channels * width + 4) // 8 * 8
        channels += 8 * (channels < 0.9 * stage.channels * width)
        stages.append(stage._replace(repeats=repeats, channels=channels))
    title = f"EfficientNet-{name.capitalize()}"
    return EfficientNetLite(f"efficientnet-{name}", title, side, tuple(stages), crop=round(side * 8 / 7))


LITE0 = EfficientNetLite()
LITE1 = _scaled("lite1", 240, 1.0, 1.1)
LITE2 = _scaled("lite2", 260, 1.1, 1.2)


def same(shape: tuple[int, ...], kernel: int, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """TensorFlow's SAME padding of (N, H, W, C): ceil(H / stride) rows come out; an odd zero goes to the end."""
    totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in shape[1:3]]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    return (top, bottom), (left, right)
