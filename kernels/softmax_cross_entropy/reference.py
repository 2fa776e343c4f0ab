"""Softmax and cross-entropy, the specification: the mean of −log softmax(z)[target]."""

from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array

REDUCTIONS = ("mean", "sum", "none")


class Smoothing(NamedTuple):
    """What each place is to hit where labels are smoothed: q_v = ``target`` [v = t] + ``others`` ``class_weights``_v."""

    target: Array  # (K,) float64
    others: Array  # (K,) float64
    class_weights: Array  # (V,) float64


class Places(NamedTuple):
    """The K places that count: the loss is Σ_m ``weights``_m Σ_v q_mv (−log p_mv), and q is one-hot without ``smoothing``."""

    kept: Array  # (...) bool: which places count
    targets: Array  # (K,)
    weights: Array  # (K,) float64
    smoothing: Smoothing | None


class Cache(NamedTuple):
    p: Array  # (K, V): the probabilities at the places that count
    places: Places
    reduction: str


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
) -> tuple[Any, Cache | None]:
    """The loss, a scalar: the mean of ``-log softmax(logits)[target]`` over the places where ``mask`` is not 0.

    ``logits`` is (..., V); ``targets`` (...) are integers in [0, V) and are not read where the mask is 0;
    ``mask`` (...), bool or numbers of 0 or more, weights the mean. With ``overwrite`` a variant may use the memory of the
    logits for their gradient; this one does not. Where no place counts, all being masked or ignored, loss and gradient are 0.

    Args:
        class_weights: (V,), 0 or more: the loss of a place is multiplied by that of its target, and so is its part in the mean.
        ignore_index: a target that is no class: its places do not count.
        label_smoothing: this share of what is to be hit is divided among all classes, the target too: -log p_t becomes
            ``(1 - label_smoothing) w_t (-log p_t) + label_smoothing / V sum_v w_v (-log p_v)``, w being the class weights, or 1.
            The mean is over w_t as without. No score may be -infinity then.
        reduction: "mean"; "sum", which is not divided by the weights; or "none", the losses of the places (...), 0 where
            one does not count.

    Raises:
        ValueError: a target that counts is not in [0, V), there is no class, the shapes do not fit each other, a weight is
            negative or not finite, ``ignore_index`` is a class, ``label_smoothing`` is not in [0, 1), or ``reduction`` is
            none of the three.
    """
    places = places_that_count(logits, targets, mask, class_weights, ignore_index, label_smoothing, reduction)
    z, targets = logits[places.kept], places.targets  # (K, V), (K,)
    z = z - z.max(-1, keepdims=True)  # softmax stays the same, and exp cannot overflow
    e = np.exp(z)
    total = e.sum(-1, keepdims=True)  # (K, 1)
    losses = np.log(total) - np.take_along_axis(z, targets[:, None], -1)  # (K, 1): -log p_t
    if places.smoothing is not None:
        target, others, w = places.smoothing
        of_all = (np.log(total) - z) @ w  # (K,): of all classes
        losses = target[:, None] * losses + (others * of_all)[:, None]
    if reduction == "none":
        loss = np.zeros_like(z, shape=places.kept.shape)
        loss[places.kept] = places.weights * losses[:, 0]
    else:
        loss = (places.weights @ losses)[0].astype(logits.dtype)  # summed in float64
    return loss, Cache(e / total, places, reduction) if train else None


def backward(dloss: Any, cache: Cache) -> tuple[Array]:
    """``dlogits`` (..., V): at each place (p − one-hot(target)) times the place's weight; ``dloss`` is like the loss."""
    p, (kept, targets, weights, smoothing), reduction = cache
    if reduction == "none":
        check_dloss(dloss, kept.shape)
        dloss = dloss[kept] if hasattr(dloss, "shape") else dloss  # (K,)
    dz = p.copy()  # (K, V)
    dz[np.arange(len(dz)), targets] -= 1 if smoothing is None else smoothing.target
    if smoothing is not None:
        dz -= smoothing.others[:, None] * smoothing.class_weights
    dz *= (weights * dloss).astype(p.dtype)[:, None]
    dlogits = np.zeros_like(p, shape=(*kept.shape, p.shape[-1]))
    dlogits[kept] = dz
    return (dlogits,)


def places_that_count(
    logits: Array,
    targets: Array,
    mask: Array | None,
    class_weights: Array | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
) -> Places:
    """Which places count, how much each, and what it is to hit."""
    check_shapes(logits, targets, mask, class_weights)
    check_settings(mask, class_weights, ignore_index, label_smoothing, reduction, logits.shape[-1])
    mask = np.ones_like(targets, dtype=bool) if mask is None else mask
    kept = mask != 0
    if ignore_index is not None:
        kept &= targets != ignore_index
    targets, weights = targets[kept], mask[kept].astype(np.float64)
    check_targets(targets, logits.shape[-1])
    in_mean = weights if class_weights is None else weights * class_weights[targets]
    smoothing = None
    if label_smoothing == 0:
        weights = in_mean
    else:
        smoothing, hit = _smoothing(targets, class_weights, label_smoothing, logits.shape[-1])
        weights = weights * hit
    if reduction == "mean" and weights.size:
        total = in_mean.sum()
        weights = weights / total if total else 0 * weights
    return Places(kept, targets, weights, smoothing)


def _smoothing(
    targets: Array, class_weights: Array | None, label_smoothing: float, V: int
) -> tuple[Smoothing, Array | float]:
    """q, whose classes add up to 1, and what was taken out of it for that: by so much the place weighs more, or less."""
    w = np.ones(V, like=targets) if class_weights is None else class_weights.astype(np.float64)
    target, other = (1 - label_smoothing) * w[targets], label_smoothing / V  # (K,), and of a class of weight 1
    hit = target + other * w.sum()  # (K,)
    whole = np.where(hit == 0, 1, hit)  # all classes have the weight 0
    return Smoothing(target / whole, other / whole, w), hit


def check_settings(
    mask: Array | None,
    class_weights: Array | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
    V: int,
) -> None:
    check_weights(mask)
    if isinstance(class_weights, np.ndarray) and not (np.isfinite(class_weights).all() and (class_weights >= 0).all()):
        raise ValueError(
            "class_weights must be finite and 0 or more: a class of weight 0 costs nothing where it is the target"
        )
    if ignore_index is not None and 0 <= ignore_index < V:
        raise ValueError(
            f"ignore_index {ignore_index} is a class, of V = {V}: give a number that is none, as -1, or leave out the places "
            f"of the class by mask=targets != {ignore_index}"
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be 0 or more and below 1; it is {label_smoothing}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}; it is {reduction!r}")


def check_dloss(dloss: Any, shape: tuple[int, ...]) -> None:
    """Of the losses of places."""
    if np.shape(dloss) != shape:
        raise ValueError(f"dloss has the shape {np.shape(dloss)}; the losses of {shape} places need one for each")


def check_shapes(logits: Array, targets: Array, mask: Array | None, class_weights: Array | None) -> None:
    check_classes(logits)
    for name, array in {"targets": targets, "mask": mask}.items():
        if array is not None and array.shape != logits.shape[:-1]:
            raise ValueError(f"{name} has the shape {array.shape}; logits {logits.shape} need {logits.shape[:-1]}")
    if class_weights is not None and class_weights.shape != logits.shape[-1:]:
        raise ValueError(
            f"class_weights has the shape {class_weights.shape}; logits {logits.shape} need {logits.shape[-1:]}"
        )


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
