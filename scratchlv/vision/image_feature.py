"""One vector for a whole picture, for models that do not attend: the lecture's CNN feature.

    v = relu(BN(W flat(x)))      after the own conv extractor: a fully connected layer over all regions, as VGG's fc6
    v = relu(BN(W mean(x)))      over pretrained features, whose network was itself trained on the mean of its regions

BN is batch normalisation. Without it nothing is learned at a usual learning rate: x is never negative, so that a small step in
all of a row of W moves its unit for every picture alike, beyond the rectifier's corner, where no gradient comes back from.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.initialisers import uniform
from scratchlv.ops import batch_norm2d, linear, relu
from scratchlv.parallel.team import gather_of_batch

_EPS = 1e-5  # of BN


class Cache(NamedTuple):
    regions: tuple[int, int, int]
    mean: bool
    linear: Any
    norm: Any
    relu: Any


def init(rng: np.random.Generator, L: int | None, D: int, width: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and buffers for ``L`` regions of ``D`` numbers; ``L`` None takes their mean."""
    params = {
        "image.W": uniform(rng, D if L is None else L * D, width),
        "image.gamma": np.ones(width, np.float32),
        "image.beta": np.zeros(width, np.float32),
    }
    return params, {"image.mean": np.zeros(width, np.float32), "image.var": np.ones(width, np.float32)}


def forward(params: dict, buffers: dict, regions: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    """The feature ``v`` (N, width) of ``regions`` (N, L, D); the shape of ``image.W`` says whether all or their mean.

    In training ``buffers`` take in the statistics of this batch, which must have two pictures or more.
    """
    N, L, D = regions.shape
    mean = params["image.W"].shape[0] == D
    x = regions.mean(axis=1) if mean else regions.reshape(N, L * D)
    a, linear_cache = linear.forward(x, params["image.W"], train=train)
    a, norm = batch_norm2d.forward(
        a[:, None, None],  # (N, 1, 1, width): pictures of one pixel
        params["image.gamma"],
        params["image.beta"],
        running_mean=buffers["image.mean"],
        running_var=buffers["image.var"],
        gather=gather_of_batch() if train else None,
        train=train,
    )
    if train:
        buffers["image.mean"], buffers["image.var"] = norm.running_mean, norm.running_var
    v, relu_cache = relu.forward(a[:, 0, 0], train=train)
    return v, Cache(regions.shape, mean, linear_cache, norm, relu_cache) if train else None


def backward(dv: Array, cache: Cache) -> tuple[Array, dict[str, Array]]:
    """``dregions`` (N, L, D) and the gradients by name."""
    N, L, D = cache.regions
    g: dict[str, Array] = {}
    (da,) = relu.backward(dv, cache.relu)
    da, g["image.gamma"], g["image.beta"] = batch_norm2d.backward(da[:, None, None], cache.norm)
    dx, g["image.W"], _ = linear.backward(da[:, 0, 0], cache.linear)
    if not cache.mean:
        return dx.reshape(N, L, D), g
    dregions = empty((N, L, D), dx)
    dregions[...] = (dx / dx.dtype.type(L))[:, None]
    return dregions, g


def picture_gradient(params: dict, buffers: dict, regions: Array, dv: Array) -> Array:
    """``dregions`` (N, L, D) from ``dv``, of a model in use: BN applies the running statistics, which are constants."""
    N, L, D = regions.shape
    W, mean = params["image.W"], params["image.W"].shape[0] == D
    x = regions.mean(axis=1) if mean else regions.reshape(N, L * D)
    scale = params["image.gamma"] / np.sqrt(buffers["image.var"] + _EPS)
    v = (x @ W - buffers["image.mean"]) * scale + params["image.beta"]  # before the rectifier
    dx = (dv * (v > 0) * scale) @ W.T
    return np.repeat(dx[:, None] / L, L, axis=1) if mean else dx.reshape(N, L, D)
