"""The upper layers of a pretrained network, trained along with a model: what is below them is frozen, and computed once.

    pictures -> frozen layers -> features, kept on disk -> trained layers -> regions -> model

The parameters are the model's own, by the network's names after "backbone.". The statistics of batch normalisations stay what the
network was trained with, unless one asks for those of each batch: a handful of pictures tells less than a million, and what the
network has learned counts on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import units
from scratchlv.vision.units import Unit, Way

if TYPE_CHECKING:
    from scratchlv.vision.backbones import Network

PREFIX = "backbone."  #: of the names of the parameters


@dataclass(frozen=True)
class Finetuned:
    """Which layers, from the lowest up; the features that the model gets are what is below the lowest."""

    network: Network
    layers: tuple[str, ...]
    batch_statistics: bool = False

    @property
    def from_pictures(self) -> bool:
        """Whether nothing is frozen: what is below are the pictures themselves, numbers from 0 to 255."""
        return self.layers[0] == self.network.layers[0]

    def units(self) -> list[Unit]:
        return [unit for unit in self.network.units() if unit.layer in self.layers]


class Cache(NamedTuple):
    finetuned: Finetuned
    layers: list


def init(rng: np.random.Generator, finetuned: Finetuned) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and buffers that know nothing yet; :func:`load` has those of a file of weights."""
    return _prefixed(*units.init(rng, finetuned.units()))


def load(arrays: dict[str, np.ndarray], finetuned: Finetuned) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and buffers from the arrays of a file of weights."""
    return _prefixed(*units.unpacked(arrays, finetuned.units()))


def forward(
    params: dict, buffers: dict, x: Array, finetuned: Finetuned, *, train: bool = True
) -> tuple[Array, Cache | None]:
    """What the trained layers make of ``x`` (N, h, w, C); with ``batch_statistics``, training moves those in ``buffers``."""
    network = finetuned.network
    own, statistics = _without_prefix(params), _without_prefix(buffers)
    way = Way(own, statistics, network.eps, finetuned.batch_statistics, train)
    if finetuned.from_pictures:
        x = network.preprocess(x, x.dtype.type)
    y, caches = network.forward(way, x, finetuned.layers, need_dx=False)
    if train and finetuned.batch_statistics:
        buffers.update({PREFIX + name: array for name, array in statistics.items()})
    return y, Cache(finetuned, caches) if train else None


def backward(dy: Array, cache: Cache, ready: Ready = nobody_waits) -> dict[str, Array]:
    """The gradients of the parameters, by name; nothing is learned below them. ``ready`` is told of each layer's."""
    _, grads = cache.finetuned.network.backward(dy, cache.layers, lambda grads: ready(_with_prefix(grads)))
    return _with_prefix(grads)


def _prefixed(*dictionaries: dict[str, Array]) -> Any:
    return tuple(map(_with_prefix, dictionaries))


def _with_prefix(arrays: dict[str, Array]) -> dict[str, Array]:
    return {PREFIX + name: array for name, array in arrays.items()}


def _without_prefix(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
