"""Softmax and cross-entropy on a GPU: the launches of ``softmax_cross_entropy.cu``.

Nothing is read back: a target that is no class makes the loss NaN, where the other variants raise ``ValueError``.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.cuda import load
from scratchlv.cuda.arrays import (
    MOST_UNASKED,
    as_contiguous,
    blocks,
    cannot_serve,
    empty,
    on_gpu,
    place,
    threads_for,
    zeros,
)
from scratchlv.cuda.versions import version
from scratchlv.kernels.softmax_cross_entropy.reference import check_dloss, check_settings, check_shapes

_NONE = np.iinfo(np.int64).min  # a target that nothing has: no place is ignored
VERSIONS = {
    1: "three readings, a tree in shared memory",
    2: "two readings, warp shuffles",
    3: "one reading",
    4: "one launch, four numbers at a time",
}
_THREADS = 384  # at most, of version 4: five such blocks, with rows of 10,000 scores, fit onto a processor of an H100
_MOST_ROWS = 1024  # whose weights each block of version 4 had better add up by itself


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
    totals, losses, loss = empty(2, logits), empty(M, logits), None if reduction == "none" else empty((), logits)
    dlogits = (z if overwrite and z is logits else empty(z.shape, logits)) if train else None
    module, number = load("softmax_cross_entropy.cu"), _version(M, V)
    ignored = np.int64(_NONE if ignore_index is None else ignore_index)
    if number < 4 or class_weights is not None or M > _MOST_ROWS:
        module["sum_weights"]((1,), (1024,), weights, targets, class_weights, totals, ignored, np.int32(M), np.int32(V))
    else:
        totals = None
    given = z, targets, weights, class_weights, totals, dlogits, losses
    smoothing, mean = np.float32(label_smoothing), np.int32(reduction == "mean")
    if number == 4:
        threads = min(_THREADS, 32 * -(-V // 128))
        arguments = *given, loss, _finished(logits), ignored, smoothing, mean, np.int32(M), np.int32(V)
        module["cross_entropy_4"]((M,), (threads,), *arguments, shared=16 * -(-V // 4))
    else:
        threads = threads_for(V)
        shared = {1: 4 * threads, 2: 0, 3: 4 * V}[number]
        module[f"cross_entropy_{number}"]((M,), (threads,), *given, smoothing, mean, np.int32(V), shared=shared)
        if loss is not None:
            module["sum_losses"]((1,), (1024,), losses, loss, np.int32(M))
    if loss is None:
        return losses.reshape(shape), Cache(dlogits, weights) if train else None
    return loss, Cache(dlogits, None) if train else None


def _version(M: int, V: int) -> int:
    """Where rows are too long for shared memory, version 2; where there is none, version 4 would launch nothing."""
    number = version(VERSIONS)
    if number >= 3 and 16 * -(-V // 4) > MOST_UNASKED:
        return 2
    return min(number, 3) if M == 0 else number


_counters: dict[int, Array] = {}  # by device


def _finished(like: Array) -> Array:
    """The counter of blocks that have ended, 0 between launches. On a CPU a launch may fail, and leave another number."""
    if not on_gpu(like):
        return zeros(1, like, np.uint32)
    device = like.device.id
    if device not in _counters:
        _counters[device] = zeros(1, like, np.uint32)
    return _counters[device]


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
