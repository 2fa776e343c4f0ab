"""Softmax and cross-entropy on a GPU: the launches of ``softmax_cross_entropy.cu``.

Nothing is read back: a target that is no class makes the loss NaN, where the other variants raise ``ValueError``.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import MOST_UNASKED, as_contiguous, blocks, cannot_serve, empty, place, threads_for
from scratchlv.cuda.versions import version
from scratchlv.kernels.softmax_cross_entropy.reference import check_shapes, check_weights

VERSIONS = {1: "three readings, a tree in shared memory", 2: "two readings, warp shuffles", 3: "one reading"}


class Cache(NamedTuple):
    dlogits: Array  # (..., V): the gradient of the loss


def limits(logits: Any, targets: Any, *, mask: Any = None, train: bool = True, overwrite: bool = False) -> str | None:
    return cannot_serve(logits)


def forward(
    logits: Array, targets: Array, *, mask: Array | None = None, train: bool = True, overwrite: bool = False
) -> tuple[Array, Cache | None]:
    """The loss, an array without axes: the mean of ``-log softmax(logits)[target]`` where ``mask`` is not 0.

    With ``overwrite`` the gradient is written where the logits stood.
    """
    check_shapes(logits, targets, mask)
    check_weights(mask)
    *shape, V = logits.shape
    M = int(np.prod(shape, dtype=int))
    z, targets = as_contiguous(logits), as_contiguous(place(targets, logits), np.int64)
    weights = empty(shape, logits)
    weights[...] = 1 if mask is None else place(mask, logits)
    total, losses, loss = empty(1, logits), empty(M, logits), empty((), logits)
    dlogits = (z if overwrite and z is logits else empty(z.shape, logits)) if train else None
    module = load("softmax_cross_entropy.cu")
    module["sum_weights"]((1,), (1024,), weights, total, np.int32(M))
    number = version(VERSIONS)
    if number == 3 and 4 * V > MOST_UNASKED:
        number = 2
    threads = threads_for(V)
    shared = {1: 4 * threads, 2: 0, 3: 4 * V}[number]
    rows = module[f"cross_entropy_{number}"]
    rows((M,), (threads,), z, targets, weights, total, dlogits, losses, np.int32(V), shared=shared)
    module["sum_losses"]((1,), (1024,), losses, loss, np.int32(M))
    return loss, Cache(dlogits) if train else None


def backward(dloss: Any, cache: Cache) -> tuple[Array]:
    """``dlogits`` (..., V) times the scalar ``dloss``; of 1, the usual one, nothing is copied."""
    if isinstance(dloss, int | float) and dloss == 1:
        return (cache.dlogits,)
    dlogits, n = empty(cache.dlogits.shape, cache.dlogits), cache.dlogits.size
    scaled = load("softmax_cross_entropy.cu")["scaled"]
    scaled(blocks(min(n, 1 << 22), 256), (256,), cache.dlogits, dlogits, np.float32(dloss), np.int64(n))
    return (dlogits,)
