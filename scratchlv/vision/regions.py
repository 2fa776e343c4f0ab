"""What a model sees: a picture as L regions, each with its place, and the gradient back to the conv extractor.

    x ∈ R^{H×W×C}  →  L = H·W regions of D = C + 2 + 4 F numbers

The two numbers added are the region's coordinates, from -1 to 1: a weighted sum of regions forgets their order, so that
each must itself know where it is. F frequencies add waves of them, sin(k π x / 2) and cos(k π x / 2) for k = 1 … F: the
positional encoding of Vaswani et al. 2017 in two dimensions. "In the middle" is then a linear map's to tell.

With the own conv extractor, ``pictures`` are bytes (N, 64, 64, 3); with pretrained features, (N, h, w, C), and nothing is
learned below them; where the upper layers of a pretrained network are finetuned, what is below these.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, as_contiguous, empty, row_stride
from scratchlv.device import on_gpu
from scratchlv.ops import rms_norm
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.vision import conv_extractor, finetuning
from scratchlv.vision.finetuning import Finetuned


class Cache(NamedTuple):
    encoder: Any  # of the conv extractor, or of the layers that are finetuned
    norm: Any  # None of the conv extractor
    shape: tuple[int, int, int]  # of a picture's features: rows, columns, channels


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


def width(channels: tuple[int, int, int], feature_channels: int | None, frequencies: int = 0) -> int:
    """D, the numbers of a region."""
    return (channels[-1] if feature_channels is None else feature_channels) + of_place(frequencies)


def of_place(frequencies: int = 0) -> int:
    """How many numbers of a region, its last, say where it is."""
    return 2 + 4 * frequencies


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
    frequencies: int = 0,
    finetuned: Finetuned | None = None,
    train: bool,
) -> tuple[Array, Cache | None]:
    """The regions (N, L, D) of pictures or of their features; the cache is None where there is nothing to learn."""
    if feature_channels is None:
        x = conv_extractor.preprocess(pictures, dtype)
        features, blocks = conv_extractor.forward(params, buffers, x, train=train)
        regions, norm = _with_position(features, frequencies)
        return regions, Cache(blocks, norm, features.shape[1:]) if train else None
    features = as_contiguous(pictures, dtype)  # from float16: only this batch is ever float32
    if finetuned is None:
        return _with_position(features, frequencies, unit_size=True)[0], None
    features, layers = finetuning.forward(params, buffers, features, finetuned, train=train)
    regions, norm = _with_position(features, frequencies, unit_size=True, train=train)
    return regions, Cache(layers, norm, features.shape[1:]) if train else None


def backward(dregions: Array, cache: Cache | None, ready: Ready = nobody_waits) -> dict[str, Array]:
    """Gradients of the encoder by the names of its parameters; places have none."""
    if cache is None:
        return {}
    dfeatures = as_contiguous(dregions[..., : cache.shape[-1]]).reshape(dregions.shape[0], *cache.shape)
    if cache.norm is None:
        return conv_extractor.backward(dfeatures, cache.encoder, ready)
    (dfeatures,) = rms_norm.backward(dfeatures, cache.norm)
    return finetuning.backward(dfeatures, cache.encoder, ready)


def _with_position(
    features: Array, frequencies: int, *, unit_size: bool = False, train: bool = False
) -> tuple[Array, Any]:
    """Features (N, h, w, C) as regions (N, h w, D), each with its place: across and down, from -1 to 1, and their waves.

    With ``unit_size`` those of each picture get a mean square of 1, as networks' may be of any size; its cache is the second.
    """
    N, h, w, C = features.shape
    D = C + of_place(frequencies)
    rows, norm = empty((N, h, w, row_stride(D, features)), features), None
    if unit_size:
        _, norm = rms_norm.forward(features, out=rows, train=train)
    else:
        rows[..., :C] = features
    rows[..., C:D] = _places(h, w, frequencies, rows.device.id) if on_gpu(rows) else _places(h, w, frequencies)
    return rows.reshape(N, h * w, -1)[..., :D], norm


@functools.lru_cache(maxsize=32)
def _places(h: int, w: int, frequencies: int, gpu: int | None = None) -> Array:
    """Where each region is (h, w, 2 + 4 F); on that GPU, or on the CPU. They are the same in every batch."""
    if gpu is not None:
        import cupy

        return cupy.asarray(_places(h, w, frequencies))
    across, down = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in (w, h)))
    places = [across, down]
    for k in range(1, frequencies + 1):
        places += [wave(k * np.pi / 2 * at) for wave in (np.sin, np.cos) for at in (across, down)]
    return np.stack(places, axis=-1)
