"""Softmax and cross-entropy, the specification: the mean of −log softmax(z)[target]."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array


class Cache(NamedTuple):
    p: Array  # (K, V): the probabilities at the K places that count
    targets: Array  # (K,)
    weights: Array  # (K,) float64: they add up to 1
    kept: Array  # (...) bool: which places count


def forward(
    logits: Array, targets: Array, *, mask: Array | None = None, train: bool = True, overwrite: bool = False
) -> tuple[Any, Cache | None]:
    """The loss, a scalar: the mean of ``-log softmax(logits)[target]`` over the places where ``mask`` is not 0.

    ``logits`` is (..., V); ``targets`` (...) are integers in [0, V) and are not read where the mask is 0;
    ``mask`` (...), bool or numbers of 0 or more, weights the mean. The loss is 0 if nothing counts. With ``overwrite`` a
    variant may use the memory of the logits for their gradient; this one does not.

    Raises:
        ValueError: a target that counts is not in [0, V), there is no class, the shapes do not fit each other, or a weight is
            negative or not finite.
    """
    kept, weights = places_that_count(logits, targets, mask)
    z, targets = logits[kept], targets[kept]  # (K, V), (K,)
    check_targets(targets, logits.shape[-1])
    z = z - z.max(-1, keepdims=True)  # softmax stays the same, and exp cannot overflow
    e = np.exp(z)
    total = e.sum(-1, keepdims=True)  # (K, 1)
    log_p = np.take_along_axis(z, targets[:, None], -1) - np.log(total)  # (K, 1)
    loss = -(weights @ log_p)[0].astype(logits.dtype)  # summed in float64
    return loss, Cache(e / total, targets, weights, kept) if train else None


def backward(dloss: Any, cache: Cache) -> tuple[Array]:
    """``dlogits`` (..., V): at each place (p − one-hot(target)) times the place's weight; ``dloss`` is a scalar."""
    p, targets, weights, kept = cache
    dz = p.copy()  # (K, V)
    dz[np.arange(len(dz)), targets] -= 1
    dz *= (weights * dloss).astype(p.dtype)[:, None]
    dlogits = np.zeros_like(p, shape=(*kept.shape, p.shape[-1]))
    dlogits[kept] = dz
    return (dlogits,)


def places_that_count(logits: Array, targets: Array, mask: Array | None) -> tuple[Array, Array]:
    """Which places count, (...) bool, and their weights in the mean, (K,), which add up to 1."""
    check_shapes(logits, targets, mask)
    check_weights(mask)
    mask = np.ones_like(targets, dtype=bool) if mask is None else mask
    kept = mask != 0
    weights = mask[kept].astype(np.float64)
    if weights.size:
        weights /= weights.sum()
    return kept, weights


def check_shapes(logits: Array, targets: Array, mask: Array | None) -> None:
    check_classes(logits)
    for name, array in {"targets": targets, "mask": mask}.items():
        if array is not None and array.shape != logits.shape[:-1]:
            raise ValueError(f"{name} has the shape {array.shape}; logits {logits.shape} need {logits.shape[:-1]}")


def check_weights(mask: Array | None) -> None:
    """On a GPU they are not read back: what is wrong with them makes the loss wrong or NaN."""
    if not isinstance(mask, np.ndarray) or mask.dtype == bool:
        return
    if not (np.isfinite(mask).all() and (mask >= 0).all()):
        raise ValueError(
            "the weights of mask must be finite and 0 or more; where it is 0 (or False) a place does not count"
        )


def check_classes(logits: Array) -> None:
    if logits.shape[-1] == 0:
        raise ValueError(f"logits {logits.shape} have no class: V is 0")


def check_targets(targets: Array, V: int) -> None:
    """Only the targets of the places that count."""
    if targets.dtype.kind not in "iu":
        raise ValueError(f"targets must be integers; they are {targets.dtype}")
    if targets.size:
        for target in (int(targets.min()), int(targets.max())):
            if not 0 <= target < V:
                raise ValueError(
                    f"target {target} is not a class: there are V = {V}, 0 to {V - 1}; mask what is padding"
                )
