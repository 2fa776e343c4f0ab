"""The global norm of gradients and the factor that clips it, the specification (Pascanu et al. 2013)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchlv.arrays import Array
from scratchlv.memory import aligned_size

UPDATED = ("out",)  #: inputs of ``step`` that are written in place
OUTPUTS = ("norm", "factor")  #: what ``step`` returns, by name


def step(grads: tuple[Array, ...], out: Array, *, max_norm: float, align: int = 1) -> tuple[Any, Any]:
    """Copy ``grads``, arrays of any shapes, one after the other into ``out`` (n,); returns their norm and a factor.

    The norm is ``√(Σ g²)`` over all of them; the factor is what it must be multiplied by so that it is at most ``max_norm``, and
    NaN, at which the optimisers leave all as it is, where the norm is not finite. Each gradient begins at a multiple of
    ``align`` numbers; what lies between them, and after the last, becomes 0.

    Raises:
        ValueError: ``out`` has not as many numbers as the gradients so laid out.
    """
    for g, part, gap in parts(grads, out, align):
        part[...] = g
        gap[...] = 0
    norm = np.sqrt(np.square(out, dtype=np.float64).sum())
    return norm, np.where(np.isfinite(norm), max_norm / np.maximum(norm, max_norm), np.nan)[()]


def parts(grads: tuple[Array, ...], out: Array, align: int = 1) -> Iterator[tuple[Array, Array, Array]]:
    """Each gradient, the part of ``out`` that is its place, in its shape, and the gap (…) between it and the next."""
    wanted = sum(aligned_size(g.size, align) for g in grads)
    if wanted != out.size:
        raise ValueError(f"out has {out.size} numbers, and the gradients {wanted}")
    at = 0
    for g in grads:
        end, following = at + g.size, at + aligned_size(g.size, align)
        yield g, out[at:end].reshape(g.shape), out[end:following]
        at = following
