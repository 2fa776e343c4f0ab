"""One vector for a whole picture, for models that do not attend: the lecture's CNN feature.

v = relu(W flat(x) + b)      after the own conv extractor: a fully connected layer over all regions, as VGG's fc6
v = relu(W mean(x) + b)      over pretrained features, whose network was itself trained on the mean of its regions
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scratchlv.models.initial import uniform
from scratchlv.ops import linear, relu

Array = Any


class Cache(NamedTuple):
    regions: tuple[int, int, int]
    mean: bool
    linear: Any
    relu: Any


def init(rng: np.random.Generator, L: int | None, D: int, width: int) -> dict[str, Array]:
    """Parameters for ``L`` regions of ``D`` numbers; ``L`` None takes their mean."""
    return {"image.W": uniform(rng, D if L is None else L * D, width), "image.b": np.zeros(width, np.float32)}


def forward(params: dict, regions: Array, *, train: bool = True) -> tuple[Array, Cache | None]:
    """The feature ``v`` (N, width) of ``regions`` (N, L, D); the shape of ``image.W`` says whether all or their mean."""
    N, L, D = regions.shape
    mean = params["image.W"].shape[0] == D
    x = regions.mean(axis=1) if mean else regions.reshape(N, L * D)
    a, linear_cache = linear.forward(x, params["image.W"], params["image.b"], train=train)
    v, relu_cache = relu.forward(a, train=train)
    return v, Cache(regions.shape, mean, linear_cache, relu_cache) if train else None


def backward(dv: Array, cache: Cache) -> tuple[Array, dict[str, Array]]:
    """``dregions`` (N, L, D) and the gradients by name."""
    N, L, D = cache.regions
    (da,) = relu.backward(dv, cache.relu)
    dx, dW, db = linear.backward(da, cache.linear)
    dregions = np.repeat(dx[:, None] / dx.dtype.type(L), L, axis=1) if cache.mean else dx.reshape(N, L, D)
    return dregions, {"image.W": dW, "image.b": db}
