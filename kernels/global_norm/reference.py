"""The global norm of gradients and the factor that clips it, the specification (Pascanu et al. 2013)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchlv.arrays import Array

UPDATED = ("out",)  #: inputs of ``step`` that are written in place
OUTPUTS = ("norm", "factor")  #: what ``step`` returns, by name


def step(grads: tuple[Array, ...], out: Array, *, max_norm: float) -> tuple[Any, Any]:
    """Copy ``grads``, arrays of any shapes, one after the other into ``out`` (n,); returns their norm and a factor.

    The norm is ``√(Σ g²)`` over all of them; the factor is what it must be multiplied by so that it is at most ``max_norm``, and
    NaN, at which the optimisers leave all as it is, where the norm is not finite.

    Raises:
        ValueError: ``out`` has not as many numbers as the gradients.
    """
    for g, part in parts(grads, out):
        part[...] = g
    norm = np.sqrt(np.square(out, dtype=np.float64).sum())
    return norm, np.where(np.isfinite(norm), max_norm / np.maximum(norm, max_norm), np.nan)[()]


def parts(grads: tuple[Array, ...], out: Array) -> Iterator[tuple[Array, Array]]:
    """Each gradient, and the part of ``out`` that is its place, in its shape."""
    if sum(g.size for g in grads) != out.size:
        raise ValueError(f"out has {out.size} numbers, and the gradients {sum(g.size for g in grads)}")
    at = 0
    for g in grads:
        yield g, out[at : at + g.size].reshape(g.shape)
        at += g.size
