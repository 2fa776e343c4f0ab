"""Batch normalisation, the specification: y = gamma (x - mean) / sqrt(var + eps) + beta, per channel."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.max_pool2d import reference as max_pool2d
from scratchlv.kernels.relu import reference as relu_

#: An array in, those of all processes out, (P, …) in one order: each holds a part of the batch
Gather = Callable[[Array], Array]


class Cache(NamedTuple):
    x_hat: Array  # (N, H, W, C), x brought to mean 0 and variance 1
    gamma: Array  # (C,)
    inverse_std: Array  # (C,), 1 / sqrt(var + eps)
    running_mean: Array | None  # (C,), moved towards this batch's mean
    running_var: Array | None  # (C,), moved towards this batch's variance, without bias
    frozen: bool
    relu: Any  # caches of what followed, or None
    pool: Any
    n: int  # numbers of a channel, of all processes
    gather: Gather | None


class Gradients(NamedTuple):
    dx: Array  # (N, H, W, C)
    dgamma: Array  # (C,)
    dbeta: Array  # (C,)


def forward(
    x: Array,
    gamma: Array,
    beta: Array,
    *,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
    frozen: bool = False,
    relu: bool = False,
    pool: bool = False,
    gather: Gather | None = None,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """Normalise ``x`` (N, H, W, C) over N, H and W; all the others are (C,); ``y`` is like x.

    With ``train`` by the batch's mean and variance; the running statistics, moved by ``momentum`` towards them, are
    returned in the cache (nothing is overwritten), and no gradient flows through them. Without, by the running ones. With
    ``frozen`` they are constants in training too, as in a pretrained network that is finetuned, and do not move.

    With ``relu``, and ``pool`` (2x2 windows, max), y is what these make of it: a variant can do them in the same sweep.

    With ``gather`` x is a part of a batch that several processes share, and mean and variance are those of the whole batch: each
    calls it once here and once in ``backward``. dgamma and dbeta are then sums over the part, for the caller to add up.

    Raises:
        ValueError: fewer than two numbers per channel to train on, or no running statistics to apply.
    """
    if not train:
        mean, var = require_running(running_mean, running_var)
        scale = gamma / np.sqrt(var + eps)
        return _follow(x * scale + (beta - mean * scale), relu, pool, train=False)[0], None
    running: tuple[Array | None, Array | None]
    n = pixels(x.shape)
    if frozen:
        running = mean, var = require_running(running_mean, running_var)
        centred = x - mean
    else:
        if gather is None:
            check_batch(x.shape)
        mean = x.mean((0, 1, 2))  # (C,)
        centred = x - mean
        var = (centred * centred).mean((0, 1, 2))  # (C,)
        if gather is not None:
            n, mean, var = joined(n, mean, var, gather)
            mean, var = mean.astype(x.dtype), var.astype(x.dtype)
            centred = x - mean
        running = moved(running_mean, running_var, mean, var, n, momentum)
    inverse_std = 1 / np.sqrt(var + eps)
    x_hat = centred * inverse_std
    y, relu_cache, pool_cache = _follow(x_hat * gamma + beta, relu, pool, train=True)
    return y, Cache(x_hat, gamma, inverse_std, *running, frozen, relu_cache, pool_cache, n, gather)


def _follow(y: Array, relu: bool, pool: bool, *, train: bool) -> tuple[Array, Any, Any]:
    relu_cache = pool_cache = None
    if relu:
        y, relu_cache = relu_.forward(y, train=train)
    if pool:
        y, pool_cache = max_pool2d.forward(y, size=2, train=train)
    return y, relu_cache, pool_cache


def backward(dy: Array, cache: Cache) -> Gradients:
    """``dx, dgamma, dbeta`` from ``dy``, which is like y."""
    x_hat, gamma, inverse_std = cache[:3]
    if cache.pool is not None:
        (dy,) = max_pool2d.backward(dy, cache.pool)
    if cache.relu is not None:
        (dy,) = relu_.backward(dy, cache.relu)
    dbeta = dy.sum((0, 1, 2))
    dgamma = (dy * x_hat).sum((0, 1, 2))
    if cache.frozen:
        return Gradients(gamma * inverse_std * dy, dgamma, dbeta)
    dbetas, dgammas = (dbeta, dgamma) if cache.gather is None else cache.gather(np.stack([dbeta, dgamma])).sum(0)
    # x moves its batch's mean and variance too: that part of dy, constant or along x_hat, has no effect
    dx = gamma * inverse_std * (dy - dbetas / cache.n - x_hat * (dgammas / cache.n))
    return Gradients(dx, dgamma, dbeta)


def pixels(shape: tuple) -> int:
    """How many numbers a channel has."""
    return math.prod(shape[:3])


def require_running(running_mean: Array | None, running_var: Array | None) -> tuple[Array, Array]:
    """Both."""
    if running_mean is None or running_var is None:
        raise ValueError("train=False, and frozen=True, need running_mean and running_var")
    return running_mean, running_var


def check_batch(shape: tuple) -> None:
    if pixels(shape) < 2:
        raise ValueError(f"a variance needs two numbers per channel, and x is {shape}")


def joined(n: int, mean: Array, var: Array, gather: Gather) -> tuple[int, Array, Array]:
    """Numbers of a channel, mean and variance of what all processes hold, float64 (Chan et al. 1979).

    Raises:
        ValueError: fewer than two numbers per channel.
    """
    counts, means, variances = gather(np.stack([np.full_like(mean, n), mean, var]).astype(np.float64)).swapaxes(0, 1)
    total = int(counts[:, 0].sum()) if mean.size else n
    check_batch((total, 1, 1))
    mean = (counts * means).sum(0) / total
    return total, mean, (counts * (variances + (means - mean) ** 2)).sum(0) / total


def moved(
    running_mean: Array | None, running_var: Array | None, mean: Array, var: Array, n: int, momentum: float
) -> tuple[Array | None, Array | None]:
    """The running statistics, moved; the variance by n / (n - 1) larger than the batch's, as it stands for all data."""
    new_mean = None if running_mean is None else (1 - momentum) * running_mean + momentum * mean
    new_var = None if running_var is None else (1 - momentum) * running_var + momentum * (var * (n / (n - 1)))
    return new_mean, new_var
