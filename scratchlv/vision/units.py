"""What convolutional networks are built of: a convolution, a batch normalisation, a rectifier; forward and backward.

    y = min(relu(gamma (x * W - mean) / sqrt(var + eps) + beta), cap)

In a pretrained network ``mean`` and ``var`` are constants, unless one asks for the statistics of each batch. Nothing but a scale
and a shift is then left of the normalisation, and :func:`folded` puts these into the convolution: so runs what is not trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array, as_contiguous
from scratchlv.initialisers import he
from scratchlv.ops import batch_norm2d, conv2d, depthwise_conv2d, linear, relu
from scratchlv.parallel.team import gather_of_batch

#: parameters and running statistics of a batch normalisation: by our names, those of PyTorch
NORM_PARTS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}


class Unit(NamedTuple):
    """A convolution or a fully connected layer, and how its arrays are called in a file of weights."""

    layer: str  # of the network, that it belongs to
    key: str  # ours: "layer4.0.conv1"
    name: str  # the file's: NAME.weight
    norm: str | None  # NORM.weight, .bias, .running_mean, .running_var; None: there is NAME.bias instead
    shape: tuple[int, ...]  # of W: (kh, kw, in, out); depthwise (kh, kw, C); 1x1 or fully connected (in, out)
    grid: tuple[int, int] | None = None  # of a fully connected layer over all pixels of so many rows and columns

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """The arrays of the file and their shapes, as PyTorch has them: what comes out first, the window last."""
        *window, channels, out = self.shape
        weight: tuple[int, ...]
        if len(self.shape) == 3:
            weight = out, 1, window[0], channels
        elif len(self.shape) == 4 or self.norm is not None:
            weight = out, channels, *(window or (1, 1))
        else:
            weight = out, channels
        found = {f"{self.name}.weight": weight}
        parts = {f"{self.name}.bias"} if self.norm is None else {f"{self.norm}.{part}" for part in NORM_PARTS.values()}
        return found | dict.fromkeys(sorted(parts), (out,))

    def ours(self, weight: np.ndarray) -> np.ndarray:
        """The weight of the file in our layout."""
        if self.grid is not None:  # PyTorch flattens channel by channel, we pixel by pixel
            return weight.reshape(len(weight), -1, *self.grid).transpose(2, 3, 1, 0).reshape(self.shape)
        if len(self.shape) == 3:
            return weight[:, 0].transpose(1, 2, 0)
        return weight.transpose(2, 3, 1, 0) if len(self.shape) == 4 else weight.reshape(weight.shape[:2]).T


_OPERATIONS = {4: conv2d, 3: depthwise_conv2d, 2: linear}  # by the dimensions of W


class Way(NamedTuple):
    """How the units of a network run."""

    params: dict[str, Array]
    buffers: dict[str, Array]  # the running statistics; none of units that are folded
    eps: float = 0.0  # of the batch normalisations
    batch_statistics: bool = False  # in training, normalise by each batch's statistics, and move the running ones
    train: bool = False


class Cache(NamedTuple):
    key: str
    operation: Any  # of the convolution
    conv: Any
    spread: Any  # of x, its shape, and the stride by which pixels of it were left out; None: none were
    norm: Any  # None where it is folded in, or there is none
    relu: Any  # None where there is none, or it was done on the way


def forward(
    way: Way,
    key: str,
    x: Array,
    *,
    stride: int = 1,
    padding: Any = 0,
    rectify: bool = True,
    cap: float | None = None,
    pool: bool = False,
    need_dx: bool = True,
) -> tuple[Array, Cache | None]:
    """The unit ``key`` of ``x`` (N, H, W, C); of a convolution with ``pool``, 2x2 max-pooling after it.

    Which operation it is, the dimensions of W say; where it has no gamma, a normalisation is folded in. Running statistics that
    moved replace those of ``way.buffers``.
    """
    params, train = way.params, way.train
    W: Array = params[f"{key}.W"]
    b, gamma = params.get(f"{key}.b"), params.get(f"{key}.gamma")
    follow = {"relu": rectify and cap is None, "pool": pool}  # what can be done on the way of another operation
    rectified, spread = False, None
    operation = _OPERATIONS[W.ndim]
    if operation is conv2d:
        fused = follow if gamma is None else {}
        x, conv = conv2d.forward(x, W, b, stride=stride, padding=padding, need_dx=need_dx, **fused, train=train)
        rectified = gamma is None and follow["relu"]
    elif operation is depthwise_conv2d:
        x, conv = depthwise_conv2d.forward(x, W, b, stride=stride, padding=padding, train=train)
    else:
        if stride > 1:
            spread = x.shape, stride
            x = as_contiguous(x[:, ::stride, ::stride])  # a window of one pixel sees no others
        x, conv = linear.forward(x, W, b, need_dx=need_dx, train=train)
    norm = rectifier = None
    if gamma is not None:
        x, norm = batch_norm2d.forward(
            x,
            gamma,
            params[f"{key}.beta"],
            running_mean=way.buffers[f"{key}.mean"],
            running_var=way.buffers[f"{key}.var"],
            eps=way.eps,
            frozen=not way.batch_statistics,
            gather=gather_of_batch() if train and way.batch_statistics else None,
            **follow,
            train=train,
        )
        rectified = follow["relu"]
        if train and way.batch_statistics:
            way.buffers[f"{key}.mean"], way.buffers[f"{key}.var"] = norm.running_mean, norm.running_var
    if rectify and not rectified:
        x, rectifier = relu.forward(x, cap=cap, train=train)
    return x, Cache(key, operation, conv, spread, norm, rectifier) if train else None


def backward(dy: Array, cache: Cache, grads: dict[str, Array]) -> Array | None:
    """``dx``; the gradients of the unit's parameters go into ``grads``, by their names."""
    key, operation, conv, spread, norm, rectifier = cache
    if rectifier is not None:
        (dy,) = relu.backward(dy, rectifier)
    if norm is not None:
        dy, grads[f"{key}.gamma"], grads[f"{key}.beta"] = batch_norm2d.backward(dy, norm)
    dx, grads[f"{key}.W"], db = operation.backward(dy, conv)
    if db is not None:
        grads[f"{key}.b"] = db
    if dx is not None and spread is not None:
        (shape, stride), dseen = spread, dx
        dx = np.zeros_like(dseen, shape=shape)
        dx[:, ::stride, ::stride] = dseen
    return dx


# --- weights -----------------------------------------------------------------------------------------------------


def unpacked(arrays: dict[str, np.ndarray], units: Iterable[Unit]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and running statistics of ``units`` by our names and in our layout, float32, from the arrays of a file."""
    params: dict[str, Array] = {}
    buffers: dict[str, Array] = {}
    for unit in units:
        params[f"{unit.key}.W"] = _plain(unit.ours(arrays[f"{unit.name}.weight"]))
        if unit.norm is None:
            params[f"{unit.key}.b"] = _plain(arrays[f"{unit.name}.bias"])
            continue
        for part, name in NORM_PARTS.items():
            kind = params if part in ("gamma", "beta") else buffers
            kind[f"{unit.key}.{part}"] = _plain(arrays[f"{unit.norm}.{name}"])
    return params, buffers


def folded(arrays: dict[str, np.ndarray], units: Iterable[Unit], eps: float) -> dict[str, Array]:
    """Parameters of ``units`` by our names, float32, every batch normalisation folded into the convolution before it."""
    params: dict[str, Array] = {}
    for unit in units:
        W = unit.ours(arrays[f"{unit.name}.weight"])
        if unit.norm is None:
            b = arrays[f"{unit.name}.bias"]
        else:
            norm = {part: arrays[f"{unit.norm}.{name}"].astype(np.float64) for part, name in NORM_PARTS.items()}
            W, b = fold(W.astype(np.float64), **norm, eps=eps)
        params[f"{unit.key}.W"], params[f"{unit.key}.b"] = _plain(W), _plain(b)
    return params


def fold(
    W: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, var: np.ndarray, *, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a layer that does what ``W`` without a bias, and a normalisation by running statistics, do.

    ``W`` (..., C) is a linear layer's, a convolution's or a depthwise one's: its last axis are the normalised channels. The
    algebra is in kernels/batch_norm2d/README.md.
    """
    scale = gamma / np.sqrt(var + eps)  # (C,)
    return W * scale, beta - mean * scale


def init(rng: np.random.Generator, units: Iterable[Unit]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and running statistics that have seen nothing."""
    params: dict[str, Array] = {}
    buffers: dict[str, Array] = {}
    for unit in units:
        *window, channels, out = unit.shape if len(unit.shape) != 3 else (*unit.shape[:2], 1, unit.shape[2])
        kh, kw = window or (1, 1)
        params[f"{unit.key}.W"] = he(rng, kh, kw, channels, out).reshape(unit.shape)
        names = ("b",) if unit.norm is None else ("gamma", "beta", "mean", "var")
        for name in names:
            kind = params if name in ("b", "gamma", "beta") else buffers
            kind[f"{unit.key}.{name}"] = (np.ones if name in ("gamma", "var") else np.zeros)(unit.shape[-1], np.float32)
    return params, buffers


def _plain(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)
