"""What a model sees: a picture as L regions, each with its place, and the gradient back to the conv extractor.

    x ∈ R^{H×W×C}  →  L = H·W regions of D = C + 2 numbers

The two numbers added are the region's coordinates, from -1 to 1: a weighted sum of regions forgets their order, so that
each must itself know where it is. With the own conv extractor, ``pictures`` are bytes (N, 64, 64, 3); with pretrained
features, (N, h, w, C), and nothing is learned below them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, as_contiguous, empty
from scratchlv.device import place
from scratchlv.ops import rms_norm
from scratchlv.vision import conv_extractor


class Cache(NamedTuple):
    blocks: list  # of the conv extractor
    grid: tuple[int, int]


def init(
    rng: np.random.Generator, channels: tuple[int, int, int], feature_channels: int | None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and buffers of the encoder: those of the conv extractor, or none for pretrained features."""
    return conv_extractor.init(rng, channels) if feature_channels is None else ({}, {})


def width(channels: tuple[int, int, int], feature_channels: int | None) -> int:
    """D, the numbers of a region."""
    return (channels[-1] if feature_channels is None else feature_channels) + 2


def forward(
    params: dict, buffers: dict, pictures: Array, feature_channels: int | None, dtype: Any = np.float32, *, train: bool
) -> tuple[Array, Cache | None]:
    """The regions (N, L, D) of pictures or of their features; the cache is None where there is nothing to learn."""
    if feature_channels is not None:
        features = as_contiguous(pictures, dtype)  # from float16: only this batch is ever float32
        return _with_coordinates(features, unit_size=True), None
    x = conv_extractor.preprocess(pictures, dtype)
    features, blocks = conv_extractor.forward(params, buffers, x, train=train)
    return _with_coordinates(features), Cache(blocks, features.shape[1:3]) if train else None


def backward(dregions: Array, cache: Cache | None) -> dict[str, Array]:
    """Gradients of the conv extractor by the names of its parameters; places have none."""
    if cache is None:
        return {}
    dfeatures = as_contiguous(dregions[..., :-2]).reshape(dregions.shape[0], *cache.grid, -1)
    return conv_extractor.backward(dfeatures, cache.blocks)


def _with_coordinates(features: Array, *, unit_size: bool = False) -> Array:
    """Features (N, h, w, C) as regions (N, h w, C + 2), each with its place: across and down, from -1 to 1.

    With ``unit_size`` those of each picture get a mean square of 1: networks' may be of any size.
    """
    N, h, w, C = features.shape
    regions = empty((N, h, w, C + 2), features)
    if unit_size:
        rms_norm.forward(features, out=regions, train=False)
    else:
        regions[..., :C] = features
    across, down = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in (w, h))
    regions[..., C] = place(across, regions)
    regions[..., C + 1] = place(down[:, None], regions)
    return regions.reshape(N, h * w, C + 2)
