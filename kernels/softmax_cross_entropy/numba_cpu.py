"""Softmax and cross-entropy on the CPU: a row stays in the cache from its maximum to its loss."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, exp, total
from scratchlv.kernels.softmax_cross_entropy.reference import check_targets, places_that_count

Array = np.ndarray


class Cache(NamedTuple):
    e: Array  # (K, V): exp(z - max z) at the K places that count
    sums: Array  # (K,): its sum over V
    targets: Array  # (K,)
    weights: Array  # (K,) float64: they add up to 1
    rows: Array  # (M,): the place's number among those that count, or -1
    shape: tuple[int, ...]  # of logits


def limits(logits: Any, targets: Any, *, mask: Any = None, train: bool = True) -> str | None:
    """Why these arrays cannot be served, or None."""
    if not all(isinstance(array, np.ndarray) for array in (logits, targets, mask) if array is not None):
        return "logits, targets and mask are not all NumPy arrays"
    if logits.dtype != np.float32:
        return f"logits are {logits.dtype}; it computes in float32"
    return None


def forward(
    logits: Array, targets: Array, *, mask: Array | None = None, train: bool = True
) -> tuple[np.float32, Cache | None]:
    """The loss, a scalar: the mean of ``-log softmax(logits)[target]`` over the places where ``mask`` is not 0."""
    kept, weights = places_that_count(logits, targets, mask)
    targets = targets[kept].astype(np.int64)
    V = logits.shape[-1]
    check_targets(targets, V)
    z = np.ascontiguousarray(logits).reshape(-1, V)
    places = np.flatnonzero(kept)
    e = np.empty((len(places) if train else 0, V), np.float32)
    sums, losses = np.empty(len(places), np.float32), np.empty(len(places))
    _forward(z, z.view(np.int32), places, targets, e, sums, losses, train)
    loss = np.float32(weights @ losses)
    if not train:
        return loss, None
    rows = np.full(kept.size, -1)
    rows[places] = np.arange(len(places))
    return loss, Cache(e, sums, targets, weights, rows, logits.shape)


def backward(dloss: Any, cache: Cache) -> tuple[Array]:
    """``dlogits`` (..., V); ``dloss`` is a scalar."""
    e, sums, targets, weights, rows, shape = cache
    dlogits = np.empty((len(rows), shape[-1]), np.float32)
    _backward(e, sums, targets, (weights * dloss).astype(np.float32), rows, dlogits)
    return (dlogits.reshape(shape),)


@kernel(parallel=True, error_model="numpy", fastmath=FLAGS)
def _forward(z, bits, places, targets, e, sums, losses, train):
    for k in prange(len(places)):
        row = places[k]
        most = np.int32(-(2**31))
        for v in range(z.shape[1]):
            # Read as integers that grow with them, floats have a maximum that vectorises; NaN is the largest of all.
            b = bits[row, v]
            most = max(most, b ^ ((b >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        top = _as_float(most)
        row_of_e = e[k] if train else np.empty(z.shape[1], np.float32)
        for v in range(z.shape[1]):
            row_of_e[v] = exp(z[row, v] - top)
        s = total(row_of_e)
        sums[k] = s
        losses[k] = np.log(s) + (np.float64(top) - np.float64(z[row, targets[k]]))


@njit(inline="always")
def _as_float(most):
    """The float32 that such an integer stands for."""
    bits = np.int32(most ^ ((most >> np.int32(31)) & np.int32(0x7FFFFFFF)))
    return np.array([bits], np.int32).view(np.float32)[0]


@kernel(parallel=True, error_model="numpy", fastmath=FLAGS)
def _backward(e, sums, targets, scales, rows, dlogits):
    for m in prange(len(rows)):
        k = rows[m]
        if k < 0:
            dlogits[m] = 0
        else:
            factor = scales[k] / sums[k]
            for v in range(dlogits.shape[1]):
                dlogits[m, v] = e[k, v] * factor
            target = targets[k]
            dlogits[m, target] = (e[k, target] - sums[k]) * factor  # p - 1, where p may be almost 1
