"""RMSProp, the specification (Tieleman and Hinton 2012: lecture 6.5 of their course), with momentum."""

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.sgd.reference import check_settings

UPDATED = ("params", "v", "velocity")  #: inputs of ``step`` that are written in place, if they are given


def step(
    params: Array,
    grads: Array,
    v: Array,
    velocity: Array | None = None,
    *,
    lr: float,
    rho: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None:
    """Update ``params`` and ``v`` in place, and ``velocity`` if it is given; all arrays are of one shape and dtype.

    ``v`` and ``velocity`` are zero before the first step. ``rho`` is the share of ``v`` that stays, ``momentum`` that of
    ``velocity``. ``grad_scale`` multiplies the gradient: the factor that clips its norm, if it is to be clipped.

    Raises:
        ValueError: ``rho`` or ``momentum`` is not in [0, 1), ``momentum`` has no ``velocity``, or ``weight_decay`` is negative.
    """
    check_rho(rho)
    check_settings(velocity, momentum, weight_decay)
    grads = grad_scale * grads + weight_decay * params
    v += (1 - rho) * (grads * grads - v)  # the running mean of the gradient's square
    scaled = grads / (np.sqrt(v) + eps)
    if velocity is None:
        params -= lr * scaled
        return
    velocity *= momentum
    velocity += scaled
    params -= lr * velocity


def check_rho(rho: float) -> None:
    if not 0 <= rho < 1:
        raise ValueError(f"rho is the share of the running square that stays, 0 or more and below 1; it is {rho}")
