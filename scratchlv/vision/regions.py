"""What a model sees: a picture as L regions, each with its place, and the gradient back to the conv extractor.

    x ∈ R^{H×W×C}  →  L = H·W regions of D = C + 2 numbers

The two numbers added are the region's coordinates, from -1 to 1: a weighted sum of regions forgets their order, so that
each must itself know where it is. With the own conv extractor, ``pictures`` are bytes (N, 64, 64, 3); with pretrained
features, (N, h, w, C), and nothing is learned below them; where the upper layers of a pretrained network are finetuned, what
is below these.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, as_contiguous, empty
from scratchlv.device import place
from scratchlv.ops import rms_norm
from scratchlv.vision import conv_extractor, finetuning
from scratchlv.vision.finetuning import Finetuned


class Cache(NamedTuple):
    encoder: Any  # of the conv extractor, or of the layers that are finetuned
    norm: Any  # None of the conv extractor
    grid: tuple[int, int]


def init(
    rng: np.random.Generator,
    channels: tuple[int, int, int],
    feature_channels: int | None,
    finetuned: Finetuned | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and buffers of the encoder: those of the conv extractor, of what is finetuned, or none."""
    if finetuned is not None:
        return finetuning.init(rng, finetuned)
    return conv_extractor.init(rng, channels) if feature_channels is None else ({}, {})


def width(channels: tuple[int, int, int], feature_channels: int | None) -> int:
    """D, the numbers of a region."""
    return (channels[-1] if feature_channels is None else feature_channels) + 2


def learns(feature_channels: int | None, finetuned: Finetuned | None) -> bool:
    """Whether there is something to learn below the regions."""
    return feature_channels is None or finetuned is not None


def forward(
    params: dict,
    buffers: dict,
    pictures: Array,
    feature_channels: int | None,
    dtype: Any = np.float32,
    *,
    finetuned: Finetuned | None = None,
    train: bool,
) -> tuple[Array, Cache | None]:
    """The regions (N, L, D) of pictures or of their features; the cache is None where there is nothing to learn."""
    if feature_channels is None:
        x = conv_extractor.preprocess(pictures, dtype)
        features, blocks = conv_extractor.forward(params, buffers, x, train=train)
        regions, norm = _with_coordinates(features)
        return regions, Cache(blocks, norm, features.shape[1:3]) if train else None
    features = as_contiguous(pictures, dtype)  # from float16: only this batch is ever float32
    if finetuned is None:
        return _with_coordinates(features, unit_size=True)[0], None
    features, layers = finetuning.forward(params, buffers, features, finetuned, train=train)
    regions, norm = _with_coordinates(features, unit_size=True, train=train)
    return regions, Cache(layers, norm, features.shape[1:3]) if train else None


def backward(dregions: Array, cache: Cache | None) -> dict[str, Array]:
    """Gradients of the encoder by the names of its parameters; places have none."""
    if cache is None:
        return {}
    dfeatures = as_contiguous(dregions[..., :-2]).reshape(dregions.shape[0], *cache.grid, -1)
    if cache.norm is None:
        return conv_extractor.backward(dfeatures, cache.encoder)
    (dfeatures,) = rms_norm.backward(dfeatures, cache.norm)
    return finetuning.backward(dfeatures, cache.encoder)


def _with_coordinates(features: Array, *, unit_size: bool = False, train: bool = False) -> tuple[Array, Any]:
    """Features (N, h, w, C) as regions (N, h w, C + 2), each with its place: across and down, from -1 to 1.

    With ``unit_size`` those of each picture get a mean square of 1, as networks' may be of any size; its cache is the second.
    """
    N, h, w, C = features.shape
    regions, norm = empty((N, h, w, C + 2), features), None
    if unit_size:
        _, norm = rms_norm.forward(features, out=regions, train=train)
    else:
        regions[..., :C] = features
    across, down = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in (w, h))
    regions[..., C] = place(across, regions)
    regions[..., C + 1] = place(down[:, None], regions)
    return regions.reshape(N, h * w, C + 2), norm
