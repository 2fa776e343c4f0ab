"""Stochastic gradient descent, the specification (Robbins and Monro 1951)."""

from scratchlv.arrays import Array

UPDATED = ("params",)  #: inputs of ``step`` that are written in place


def step(params: Array, grads: Array, *, lr: float, grad_scale: float = 1.0, weight_decay: float = 0.0) -> None:
    """Update ``params`` in place; ``grads`` is of the same shape and dtype.

    ``grad_scale`` multiplies the gradient: the factor that clips its norm, if it is to be clipped.
    """
    params -= lr * (grad_scale * grads + weight_decay * params)
