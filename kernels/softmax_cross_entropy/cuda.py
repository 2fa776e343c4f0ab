"""Softmax and cross-entropy on a GPU: the launches of ``softmax_cross_entropy.cu``.

Nothing is read back: a target that is no class makes the loss NaN, where the other variants raise ``ValueError``.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import MOST_UNASKED, as_contiguous, blocks, cannot_serve, empty, place, threads_for
from scratchlv.cuda.versions import version
from scratchlv.kernels.softmax_cross_entropy.reference import check_dloss, check_settings, check_shapes

_NONE = np.iinfo(np.int64).min  # a target that nothing has: no place is ignored
VERSIONS = {1: "three readings, a tree in shared memory", 2: "two readings, warp shuffles", 3: "one reading"}


class Cache(NamedTuple):
    dlogits: Array  # (..., V): the gradient of the loss, or of the sum of the losses
    weights: Array | None  # (...): 0 where a place does not count, where each has a loss of its own


def limits(logits: Any, targets: Any, **settings: Any) -> str | None:
    return cannot_serve(logits)


def forward(
    logits: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    class_weights: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    train: bool = True,
    overwrite: bool = False,
) -> tuple[Array, Cache | None]:
    """The loss, an array without axes or with one number for each place, as the reference has it.

    With ``overwrite`` the gradient is written where the logits stood.
    """
    check_shapes(logits, targets, mask, class_weights)
    check_settings(mask, class_weights, ignore_index, label_smoothing, reduction, logits.shape[-1])
    *shape, V = logits.shape
    M = int(np.prod(shape, dtype=int))
    z, targets = as_contiguous(logits), as_contiguous(place(targets, logits), np.int64)
    weights = empty(shape, logits)
    weights[...] = 1 if mask is None else place(mask, logits)
    if class_weights is not None:
        class_weights = as_contiguous(place(class_weights, logits), np.float32)
    totals, losses, loss = empty(2, logits), empty(M, logits), empty((), logits)
    dlogits = (z if overwrite and z is logits else empty(z.shape, logits)) if train else None
    module = load("softmax_cross_entropy.cu")
    ignored = np.int64(_NONE if ignore_index is None else ignore_index)
    module["sum_weights"]((1,), (1024,), weights, targets, class_weights, totals, ignored, np.int32(M), np.int32(V))
    number = version(VERSIONS)
    if number == 3 and 4 * V > MOST_UNASKED:
        number = 2
    threads = threads_for(V)
    shared = {1: 4 * threads, 2: 0, 3: 4 * V}[number]
    rows = module[f"cross_entropy_{number}"]
    arrays = z, targets, weights, class_weights, totals, dlogits, losses
    settings = np.float32(label_smoothing), np.int32(reduction == "mean"), np.int32(V)
    rows((M,), (threads,), *arrays, *settings, shared=shared)
    if reduction == "none":
        return losses.reshape(shape), Cache(dlogits, weights) if train else None
    module["sum_losses"]((1,), (1024,), losses, loss, np.int32(M))
    return loss, Cache(dlogits, None) if train else None


def backward(dloss: Any, cache: Cache) -> tuple[Array]:
    """``dlogits`` (..., V) times ``dloss``; of the number 1, the usual one, nothing is copied."""
    if cache.weights is not None:
        check_dloss(dloss, cache.weights.shape)
        return (_scaled_rows(cache.dlogits, dloss, cache.weights),)
    if isinstance(dloss, int | float) and dloss == 1:
        return (cache.dlogits,)
    dlogits, n = empty(cache.dlogits.shape, cache.dlogits), cache.dlogits.size
    scaled = load("softmax_cross_entropy.cu")["scaled"]
    scaled(blocks(min(n, 1 << 22), 256), (256,), cache.dlogits, dlogits, np.float32(dloss), np.int64(n))
    return (dlogits,)


def _scaled_rows(x: Array, scales: Any, weights: Array) -> Array:
    """The rows of x (..., V), each times its scale (...)."""
    V, y = x.shape[-1], empty(x.shape, x)
    each = empty(weights.shape, x)
    each[...] = scales
    kernel = load("softmax_cross_entropy.cu")["scaled_rows"]
    kernel((weights.size,), (threads_for(V),), x, y, each, weights, np.int32(V))
    return y
