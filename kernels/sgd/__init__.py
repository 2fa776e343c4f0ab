"""Stochastic gradient descent: a step against the gradient.

Not an operation with a gradient but an update in place: its variants have ``step``, not ``forward`` and ``backward``.
"""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``step``, float64, by name. ``params`` is updated in place: copy it."""

    def case(size: int, **settings: float) -> dict:
        return {"params": rng.standard_normal(size), "grads": rng.standard_normal(size), "lr": 0.1, **settings}

    return {
        "plain": case(13),
        "clipped": case(7, grad_scale=0.3),
        "weight decay": case(11, weight_decay=0.1, grad_scale=0.5),
        "one": case(1),
        "larger than a block": case(20011),
        "empty": case(0),
    }
