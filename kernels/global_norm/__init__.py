"""The norm of all gradients together, and the factor that clips it (Pascanu et al. 2013).

Not an operation with a gradient but a part of an optimiser's step: its variants have ``step``, not ``forward`` and ``backward``.
"""

import numpy as np

from scratchlv.memory import aligned_size

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``step``, float64, by name. ``out`` is written: copy it."""

    def case(*shapes: tuple[int, ...], max_norm: float, align: int = 1) -> dict:
        grads = tuple(rng.standard_normal(shape) for shape in shapes)
        size = sum(aligned_size(g.size, align) for g in grads)
        return {"grads": grads, "out": np.full(size, np.nan), "max_norm": max_norm, "align": align}

    return {
        "clipped": case((3, 5), (4,), (7, 2), max_norm=1.0),
        "not clipped": case((3, 5), (4,), max_norm=100.0),
        "one number": case((1,), max_norm=0.1),
        "larger than a block": case((131, 67), (13,), (97, 211), max_norm=5.0),
        "an empty gradient": case((3, 5), (0, 4), (2,), max_norm=1.0),
        "no gradients": case(max_norm=1.0),
        "each at a multiple": case((131, 67), (13,), (0, 4), (64,), (3, 5), max_norm=5.0, align=64),
    }
