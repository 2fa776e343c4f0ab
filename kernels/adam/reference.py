"""Adam, the specification (Kingma and Ba 2015), with decoupled weight decay (Loshchilov and Hutter 2019)."""

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.sgd.reference import check_weight_decay

UPDATED = ("params", "m", "v")  #: inputs of ``step`` that are written in place


def step(
    params: Array,
    grads: Array,
    m: Array,
    v: Array,
    t: int,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None:
    """Update ``params``, ``m`` and ``v`` in place; all arrays, ``grads`` too, are of one shape and dtype.

    ``t`` is the number of this step, counted from 1. ``m`` and ``v`` are zero before the first. ``grad_scale`` multiplies
    the gradient: the factor that clips its norm, if it is to be clipped.

    Raises:
        ValueError: ``t`` is less than 1, or ``weight_decay`` is negative.
    """
    check_step(t)
    check_weight_decay(weight_decay)
    grads = grads * grad_scale
    m += (1 - beta1) * (grads - m)  # the running mean of the gradient
    v += (1 - beta2) * (grads * grads - v)  # and of its square
    m_hat = m / (1 - beta1**t)  # both start at 0 and are too small at first
    v_hat = v / (1 - beta2**t)
    params -= lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * params)


def check_step(t: int) -> None:
    if t < 1:
        raise ValueError(f"t is the number of the step, counted from 1; it is {t}")
