"""A small convolutional feature extractor, trained from nothing: 64x64 pixels in, 8x8 regions out.

Three blocks, each halving the picture: convolution, batch normalisation, ReLU; the first convolution steps by
two pixels, the others are followed by max-pooling.

    x (N, 64, 64, 3) -> (N, 32, 32, C1) -> (N, 16, 16, C2) -> (N, 8, 8, C3)
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, empty
from scratchlv.initialisers import he
from scratchlv.ops import batch_norm2d, conv2d
from scratchlv.parallel.shares import Ready, nobody_waits
from scratchlv.parallel.team import gather_of_batch

BLOCKS = ("conv1", "conv2", "conv3")
SIDE = 64  #: pictures are resized to this before they come here
GRID = SIDE // 8  #: rows and columns of the regions


class _BlockCache(NamedTuple):
    conv: Any
    norm: Any  # with ReLU and pooling


def init(rng: np.random.Generator, channels: tuple[int, int, int] = (32, 64, 64)) -> tuple[dict, dict]:
    """Parameters and buffers (the running statistics of batch normalisation), by name."""
    params: dict[str, Array] = {}
    buffers: dict[str, Array] = {}
    c_in = 3
    for name, c_out, width in zip(BLOCKS, channels, (5, 3, 3), strict=True):
        params[f"{name}.W"] = he(rng, width, width, c_in, c_out)
        params[f"{name}.gamma"] = np.ones(c_out, np.float32)
        params[f"{name}.beta"] = np.zeros(c_out, np.float32)
        buffers[f"{name}.mean"] = np.zeros(c_out, np.float32)
        buffers[f"{name}.var"] = np.ones(c_out, np.float32)
        c_in = c_out
    return params, buffers


def preprocess(images: Array, dtype: Any = np.float32) -> Array:
    """Bytes 0 to 255 to numbers -1 to 1."""
    x = np.divide(images, dtype(127.5), out=empty(images.shape, images, dtype))
    x -= dtype(1)
    return x


def forward(params: dict, buffers: dict, x: Array, *, train: bool = True) -> tuple[Array, list[_BlockCache]]:
    """Features (N, 8, 8, C3) of ``x`` (N, 64, 64, 3); in training, ``buffers`` take in the statistics of this batch."""
    caches = []
    gather = gather_of_batch() if train else None
    for name in BLOCKS:
        W, gamma, beta = (params[f"{name}.{p}"] for p in ("W", "gamma", "beta"))
        first = name == "conv1"
        x, conv = conv2d.forward(
            x, W, stride=2 if first else 1, padding=W.shape[0] // 2, need_dx=not first, train=train
        )
        mean, var = buffers[f"{name}.mean"], buffers[f"{name}.var"]
        follow = {"relu": True, "pool": not first, "gather": gather}
        x, norm = batch_norm2d.forward(x, gamma, beta, running_mean=mean, running_var=var, **follow, train=train)
        if train:
            buffers[f"{name}.mean"], buffers[f"{name}.var"] = norm.running_mean, norm.running_var
        caches.append(_BlockCache(conv, norm))
    return x, caches


def backward(dx: Array, caches: list[_BlockCache], ready: Ready = nobody_waits) -> dict[str, Array]:
    """Gradients by the names of the parameters, from ``dx`` (N, 8, 8, C3)."""
    grads: dict[str, Array] = {}
    for name, cache in zip(reversed(BLOCKS), reversed(caches), strict=True):
        dx, grads[f"{name}.gamma"], grads[f"{name}.beta"] = batch_norm2d.backward(dx, cache.norm)
        dx, grads[f"{name}.W"], _ = conv2d.backward(dx, cache.conv)
        ready(grads)
    return grads
