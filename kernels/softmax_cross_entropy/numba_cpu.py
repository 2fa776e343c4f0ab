"""Softmax and cross-entropy on the CPU in one sweep: a row goes from scores to loss and gradient while it is in cache."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.simd import WIDTH, address, fence, scale, wants_nontemporal
from scratchlv.kernels.building_blocks.threads import new_counter, next_item, pieces, share
from scratchlv.kernels.softmax_cross_entropy.reference import check_dloss, places_that_count
from scratchlv.kernels.softmax_cross_entropy.vectors import (
    cross_entropy_rows,
    largest,
    smoothed_rows,
    waking_for,
)
from scratchlv.memory import as_contiguous, empty


class Cache(NamedTuple):
    dlogits: np.ndarray  # (..., V): the gradient of the loss, or of the sum of the losses
    kept: np.ndarray | None  # (...): which places count, where each has a loss of its own


def limits(logits: Any, targets: Any, *, mask: Any = None, class_weights: Any = None, **settings: Any) -> str | None:
    """Why these arrays cannot be served, or None."""
    arrays = {"logits": logits, "targets": targets, "mask": mask, "class_weights": class_weights}
    for name, array in arrays.items():
        if array is not None and not isinstance(array, np.ndarray):
            return f"{name} is not a NumPy array"
    if logits.dtype != np.float32:
        return f"logits are {logits.dtype}; it computes in float32"
    return None


def forward(
    logits: np.ndarray,
    targets: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    class_weights: np.ndarray | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    train: bool = True,
    overwrite: bool = False,
) -> tuple[Any, Cache | None]:
    """The loss, a scalar or one for each place, as the reference has it.

    With ``overwrite`` the gradient is written where the logits stood: they are lost, and half of the memory is swept.
    """
    kept, *of_kept = places_that_count(logits, targets, mask, class_weights, ignore_index, label_smoothing, reduction)
    kept_targets, kept_weights, smoothing = of_kept
    V = logits.shape[-1]
    counted, others = (np.flatnonzero(places) for places in (kept, ~kept))
    weights, classes = np.zeros(kept.size), np.zeros(kept.size, np.int64)
    weights[counted], classes[counted] = kept_weights, kept_targets
    if smoothing is not None:
        shares = np.zeros((2, kept.size))
        shares[:, counted] = smoothing.target, smoothing.others
        smoothing = *shares, smoothing.class_weights.astype(np.float32)
    z = as_contiguous(logits)
    dlogits = empty(logits.shape if train else (0,) * logits.ndim)
    if train and overwrite and z is logits:
        dlogits = logits
    losses = np.zeros(kept.size)
    nontemporal = train and dlogits is not logits and wants_nontemporal(dlogits)
    arrays = z.reshape(-1, V), dlogits.reshape(-1, V), counted, others, classes, weights.astype(np.float32), losses
    with waking_for(arrays[0]) as threads:
        exponentials = empty((threads, 2, -(-V // WIDTH) * WIDTH))
        _sweep(*arrays, exponentials, train, nontemporal, smoothing)
    if reduction == "none":
        loss = (weights * losses).astype(np.float32).reshape(kept.shape)
        return loss, Cache(dlogits, np.asarray(kept)) if train else None
    return np.float32(weights[counted] @ losses[counted]), Cache(dlogits, None) if train else None


def backward(dloss: Any, cache: Cache) -> tuple[np.ndarray]:
    """``dlogits`` (..., V), as the sweep left it, times ``dloss``; of the number 1, the usual one, nothing is copied."""
    if cache.kept is not None:
        check_dloss(dloss, cache.kept.shape)
        return (_scaled(cache.dlogits, np.where(cache.kept, dloss, 0)),)
    if dloss == 1:
        return (cache.dlogits,)
    return (_scaled(cache.dlogits, np.full(cache.dlogits.shape[:-1], dloss)),)


def _scaled(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The rows of x (..., V), each times its factor (...)."""
    V, y = x.shape[-1], empty(x.shape)
    rows = x.reshape(-1, V), factors.astype(np.float32).reshape(-1), y.reshape(-1, V)
    with waking_for(rows[0]) as threads:
        _scale_rows(*rows, threads, wants_nontemporal(y))
    return y


@kernel(parallel=True)
def _sweep(z, dlogits, counted, others, classes, weights, losses, exponentials, train, nontemporal, smoothing):
    M, V = len(counted), z.shape[1]
    threads = len(exponentials)
    counter, n = new_counter(), pieces(M, threads)
    for thread in prange(threads):
        piece = next_item(counter)
        while piece < n:
            first, last = share(M, piece, n)
            places = counted[first:last]
            _sweep_places(
                z, dlogits, places, classes, weights, losses, exponentials[thread], train, nontemporal, smoothing
            )
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
def _sweep_places(z, dlogits, places, classes, weights, losses, exponentials, train, nontemporal, smoothing):
    # Without smoothing, which is None then, its branches are not compiled.
    V = z.shape[1]
    top = largest(address(z[places[0]]), V)
    past, factor, out = (
        z[places[0]],
        np.float32(0),
        exponentials[1],
    )  # no row comes before the first: zeros for the scrap
    past_others = np.float32(0)
    for i in range(len(places)):
        m = places[i]
        row, coming, now = z[m], z[places[min(i + 1, len(places) - 1)]], exponentials[i % 2]
        score = row[classes[m]]
        around = nontemporal and i > 0  # the caches
        if smoothing is None:
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
        else:
            target, others, class_weights = smoothing
            top_of_coming, total, weighted = smoothed_rows(
                address(coming),
                address(row),
                top,
                address(now),
                address(past),
                factor,
                past_others,
                address(class_weights),
                address(out),
                V,
                train,
                around,
            )
            s = np.float32(total)
            losses[m] = np.log(s) + target[m] * (np.float64(top) - np.float64(score)) - others[m] * weighted
            now[classes[m]] -= np.float32(target[m]) * s  # p - q of the target
            past_others = np.float32(weights[m] * others[m])  # of q, what is left for every class
        past, factor, out, top = now, weights[m] / s, dlogits[m], top_of_coming
    if train:
        if smoothing is None:
            scale(address(past), factor, address(out), V, nontemporal)
        else:
            for v in range(V):
                out[v] = past[v] * factor - smoothing[2][v] * past_others


@kernel(parallel=True)
def _scale_rows(x, factors, y, threads, nontemporal):
    M, V = x.shape
    for thread in prange(threads):
        first, last = share(M, thread, threads)
        for m in range(first, last):
            scale(address(x[m]), factors[m], address(y[m]), V, nontemporal)
        if nontemporal:
            fence()
