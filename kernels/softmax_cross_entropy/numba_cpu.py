"""Softmax and cross-entropy on the CPU in one sweep: a row goes from scores to loss and gradient while it is in cache."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, exp_nonpositive, total
from scratchlv.kernels.building_blocks.simd import F32, I32, address, fence, prefetch, scale, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.softmax_cross_entropy.reference import check_targets, places_that_count
from scratchlv.memory import as_contiguous, empty

_CHUNK = 512  # numbers


class Cache(NamedTuple):
    dlogits: np.ndarray  # (..., V): the gradient of the loss


def limits(logits: Any, targets: Any, *, mask: Any = None, train: bool = True, overwrite: bool = False) -> str | None:
    """Why these arrays cannot be served, or None."""
    if not all(isinstance(array, np.ndarray) for array in (logits, targets, mask) if array is not None):
        return "logits, targets and mask are not all NumPy arrays"
    if logits.dtype != np.float32:
        return f"logits are {logits.dtype}; it computes in float32"
    return None


def forward(
    logits: np.ndarray,
    targets: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    train: bool = True,
    overwrite: bool = False,
) -> tuple[np.float32, Cache | None]:
    """The loss, a scalar: the mean of ``-log softmax(logits)[target]`` over the places where ``mask`` is not 0.

    With ``overwrite`` the gradient is written where the logits stood: they are lost, and half of the memory is swept.
    """
    kept, kept_weights = places_that_count(logits, targets, mask)
    V = logits.shape[-1]
    check_targets(targets[kept], V)
    kept = kept.reshape(-1)
    weights, classes = np.zeros(kept.size), np.zeros(kept.size, np.int64)
    weights[kept], classes[kept] = kept_weights, targets.reshape(-1)[kept]
    z = as_contiguous(logits)
    dlogits = empty(logits.shape if train else (0,) * logits.ndim)
    if train and overwrite and z is logits:
        dlogits = logits
    losses = np.zeros(kept.size)
    rows = (z.reshape(-1, V), dlogits.reshape(-1, V))
    nontemporal = train and dlogits is not logits and wants_nontemporal(dlogits)
    _sweep(*rows, kept, classes, weights.astype(np.float32), losses, train, nontemporal, n_threads())
    return np.float32(weights[kept] @ losses[kept]), Cache(dlogits) if train else None


def backward(dloss: Any, cache: Cache) -> tuple[np.ndarray]:
    """``dlogits`` (..., V), as the sweep left it, times the scalar ``dloss``; of 1, the usual one, nothing is copied."""
    if dloss == 1:
        return (cache.dlogits,)
    return (np.multiply(cache.dlogits, np.float32(dloss), out=empty(cache.dlogits.shape)),)


@kernel(parallel=True, fastmath=FLAGS)
def _sweep(z, dlogits, kept, targets, weights, losses, train, nontemporal, threads):
    V = z.shape[1]
    for thread in prange(threads):
        first, last = share(len(kept), thread, threads)
        exponentials = np.empty(V, np.float32)
        for m in range(first, last):
            if not kept[m]:
                if train:
                    for v in range(V):
                        dlogits[m, v] = 0
                continue
            row = z[m]
            score, maximum = row[targets[m]], largest(row)
            for begin in range(0, V, _CHUNK):
                prefetch(address(z) + 4 * ((m + 1) * V + begin), _CHUNK)  # the next row, while there is much to compute
                part, into = row[begin : begin + _CHUNK], exponentials[begin : begin + _CHUNK]
                for v in range(part.size):
                    into[v] = exp_nonpositive(part[v] - maximum)
            s = np.float32(total(exponentials))
            losses[m] = np.log(s) + (np.float64(maximum) - np.float64(score))
            if train:
                exponentials[targets[m]] -= s  # p - 1, where p may be almost 1
                scale(address(exponentials), weights[m] / s, address(dlogits) + 4 * m * V, V, nontemporal)
        if nontemporal:
            fence()


@njit(inline="always")
def largest(row):
    """The largest number of a row; NaN is larger than all.

    Read as integers that grow with them, floats have a maximum that vectorises.
    """
    most = np.int32(-(2**31))
    for v in range(row.size):
        b = _bits(row[v])
        b ^= (b >> np.int32(31)) & np.int32(0x7FFFFFFF)
        most = b if b > most else most
    return _float(most ^ ((most >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@intrinsic
def _bits(typing_context, x):
    """The bits of a float32, as an int32."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], I32)

    return types.int32(types.float32), emit


@intrinsic
def _float(typing_context, bits):
    """The float32 that has these bits."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], F32)

    return types.float32(types.int32), emit
