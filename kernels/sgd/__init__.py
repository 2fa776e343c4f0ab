"""Stochastic gradient descent: a step against the gradient, or along a running sum of gradients (momentum).

Not an operation with a gradient but an update in place: its variants have ``step``, not ``forward`` and ``backward``.
"""

from typing import Any

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``step``, float64, by name. ``params`` and ``velocity`` are updated in place: copy them."""

    def case(size: int, **settings: Any) -> dict:
        inputs = {"params": rng.standard_normal(size), "grads": rng.standard_normal(size)}
        if "momentum" in settings:
            inputs["velocity"] = 2 * rng.standard_normal(size)
        return {**inputs, "lr": 0.1, **settings}

    return {
        "plain": case(13),
        "clipped": case(7, grad_scale=0.3),
        "weight decay": case(11, weight_decay=0.1, grad_scale=0.5),
        "one": case(1),
        "larger than a block": case(20011),
        "empty": case(0),
        "momentum": case(13, momentum=0.9),
        "momentum, clipped, weight decay": case(11, momentum=0.5, grad_scale=0.3, weight_decay=0.1),
        "nesterov": case(13, momentum=0.9, nesterov=True),
        "nesterov, clipped, weight decay": case(7, momentum=0.8, nesterov=True, grad_scale=0.3, weight_decay=0.1),
        "momentum, larger than a block": case(20011, momentum=0.9, nesterov=True, weight_decay=0.01),
        "momentum, empty": case(0, momentum=0.9),
    }
