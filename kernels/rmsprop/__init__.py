"""RMSProp: a step of stochastic gradient descent, divided per parameter by the root of a running mean of squared gradients.

Not an operation with a gradient but an update in place: its variants have ``step``, not ``forward`` and ``backward``.
"""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``step``, float64, by name. ``params``, ``v`` and ``velocity`` are updated in place: copy them."""

    def case(size: int, first: bool = False, **settings: float) -> dict:
        inputs = {
            "params": rng.standard_normal(size),
            "grads": rng.standard_normal(size),
            "v": rng.random(size) * (not first),
        }
        if "momentum" in settings:
            inputs["velocity"] = rng.standard_normal(size) * (not first)
        return {**inputs, "lr": 0.01, **settings}

    return {
        "first step": case(13, first=True),
        "later": case(13, lr=0.1, rho=0.8, eps=1e-3),
        "weight decay": case(7, weight_decay=0.1),
        "clipped": case(11, grad_scale=0.3),
        "one": case(1),
        "larger than a block": case(20011),
        "empty": case(0),
        "momentum": case(13, momentum=0.9),
        "momentum, first step": case(5, first=True, momentum=0.9),
        "momentum, clipped, weight decay": case(11, momentum=0.5, grad_scale=0.3, weight_decay=0.1, rho=0.9),
        "momentum, larger than a block": case(20011, momentum=0.9, weight_decay=0.01),
        "momentum, empty": case(0, momentum=0.9),
    }
