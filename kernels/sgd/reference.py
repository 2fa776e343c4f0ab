"""Stochastic gradient descent, the specification (Robbins and Monro 1951), with momentum (Polyak 1964; Nesterov 1983)."""

from typing import Any

from scratchlv.arrays import Array

UPDATED = ("params", "velocity")  #: inputs of ``step`` that are written in place, if they are given


def step(
    params: Array,
    grads: Array,
    velocity: Array | None = None,
    *,
    lr: float,
    grad_scale: float = 1.0,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> None:
    """Update ``params`` in place, and ``velocity`` if it is given; all arrays are of one shape and dtype.

    ``grad_scale`` multiplies the gradient: the factor that clips its norm, if it is to be clipped. ``velocity`` is zero
    before the first step; ``momentum`` is the share of it that stays, and ``nesterov`` steps as if the next one were known.

    Raises:
        ValueError: ``momentum`` is not in [0, 1), or has no ``velocity``; ``nesterov`` has no momentum; ``weight_decay`` is
            negative.
    """
    check_settings(velocity, momentum, weight_decay, nesterov)
    grads = grad_scale * grads + weight_decay * params
    if velocity is None:
        params -= lr * grads
        return
    velocity *= momentum
    velocity += grads  # v ← μ v + g
    params -= lr * (grads + momentum * velocity if nesterov else velocity)


def check_settings(velocity: Any, momentum: float, weight_decay: float, nesterov: bool = False) -> None:
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is the share of the velocity that stays, 0 or more and below 1; it is {momentum}")
    if momentum and velocity is None:
        raise ValueError(f"momentum {momentum} needs velocity, an array like params that is zero before the first step")
    if nesterov and not momentum:
        raise ValueError("nesterov looks ahead along the velocity, and without momentum there is none; give momentum")
    check_weight_decay(weight_decay)


def check_weight_decay(weight_decay: float) -> None:
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must be 0 or more; it is {weight_decay}")
