"""Adam: a step of stochastic gradient descent, scaled per parameter by a running mean of squared gradients.

Not an operation with a gradient but an update in place: its variants have ``step``, not ``forward`` and ``backward``.
"""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``step``, float64, by name. ``params``, ``m`` and ``v`` are updated in place: copy them."""

    def case(size: int, t: int, **settings: float) -> dict:
        started = t > 1
        return {
            "params": rng.standard_normal(size),
            "grads": rng.standard_normal(size),
            "m": 0.1 * rng.standard_normal(size) * started,
            "v": 0.01 * rng.random(size) * started,
            "t": t,
            "lr": 1e-3,
            **settings,
        }

    return {
        "first step": case(13, t=1),
        "later": case(13, t=7, lr=0.01, beta1=0.8, beta2=0.99, eps=1e-6),
        "weight decay": case(7, t=3, weight_decay=0.1),
        "clipped": case(11, t=2, grad_scale=0.3),
        "one": case(1, t=2),
        "larger than a block": case(20011, t=1000),
        "empty": case(0, t=1),
    }
