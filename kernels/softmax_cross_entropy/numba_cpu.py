"""Softmax and cross-entropy on the CPU in one sweep: a row goes from scores to loss and gradient while it is in cache."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.simd import WIDTH, address, fence, scale, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item, pieces, share
from scratchlv.kernels.softmax_cross_entropy.reference import check_targets, places_that_count
from scratchlv.kernels.softmax_cross_entropy.vectors import cross_entropy_rows, largest
from scratchlv.memory import as_contiguous, empty


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
    counted, others = (np.flatnonzero(places) for places in (kept, ~kept))
    weights, classes = np.zeros(kept.size), np.zeros(kept.size, np.int64)
    weights[counted], classes[counted] = kept_weights, targets.reshape(-1)[counted]
    z = as_contiguous(logits)
    dlogits = empty(logits.shape if train else (0,) * logits.ndim)
    if train and overwrite and z is logits:
        dlogits = logits
    losses = np.zeros(kept.size)
    exponentials = empty((n_threads(), 2, -(-V // WIDTH) * WIDTH))
    nontemporal = train and dlogits is not logits and wants_nontemporal(dlogits)
    arrays = z.reshape(-1, V), dlogits.reshape(-1, V), counted, others, classes, weights.astype(np.float32), losses
    _sweep(*arrays, exponentials, train, nontemporal)
    return np.float32(weights[counted] @ losses[counted]), Cache(dlogits) if train else None


def backward(dloss: Any, cache: Cache) -> tuple[np.ndarray]:
    """``dlogits`` (..., V), as the sweep left it, times the scalar ``dloss``; of 1, the usual one, nothing is copied."""
    if dloss == 1:
        return (cache.dlogits,)
    return (np.multiply(cache.dlogits, np.float32(dloss), out=empty(cache.dlogits.shape)),)


@kernel(parallel=True)
def _sweep(z, dlogits, counted, others, classes, weights, losses, exponentials, train, nontemporal):
    M, V = len(counted), z.shape[1]
    threads = len(exponentials)
    counter, n = new_counter(), pieces(M, threads)
    for thread in prange(threads):
        piece = next_item(counter)
        while piece < n:
            first, last = share(M, piece, n)
            places = counted[first:last]
            _sweep_places(z, dlogits, places, classes, weights, losses, exponentials[thread], train, nontemporal)
            piece = next_item(counter)
        if train:
            first, last = share(len(others), thread, threads)
            for i in range(first, last):
                row = dlogits[others[i]]
                for v in range(V):
                    row[v] = 0
        if nontemporal:
            fence()


@njit(inline="always")
def _sweep_places(z, dlogits, places, classes, weights, losses, exponentials, train, nontemporal):
    V = z.shape[1]
    top = largest(address(z[places[0]]), V)
    past, factor, out = (
        z[places[0]],
        np.float32(0),
        exponentials[1],
    )  # no row comes before the first: zeros for the scrap
    for i in range(len(places)):
        m = places[i]
        row, coming, now = z[m], z[places[min(i + 1, len(places) - 1)]], exponentials[i % 2]
        score = row[classes[m]]
        around = nontemporal and i > 0  # the caches
        top_of_coming, total = cross_entropy_rows(
            address(coming),
            address(row),
            top,
            address(now),
            address(past),
            factor,
            address(out),
            V,
            train,
            around,
        )
        s = np.float32(total)
        losses[m] = np.log(s) + (np.float64(top) - np.float64(score))
        now[classes[m]] -= s  # p - 1, where p may be almost 1
        past, factor, out, top = now, weights[m] / s, dlogits[m], top_of_coming
    if train:
        scale(address(past), factor, address(out), V, nontemporal)
