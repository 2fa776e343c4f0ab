"""Rectified linear unit: y = max(x, 0), or with a cap min(max(x, 0), cap); cap=6 is ReLU6."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first.

    The slope is checked away from the kinks; "at the kinks" is there to compare the variants.
    """

    def case(*shape: int, cap: float | None = None) -> dict:
        x = rng.uniform(0.1, 4.0, shape) * rng.choice([-1.0, 1.0], shape)
        return {"x": x if cap is None else np.where(abs(x - cap) < 0.1, cap + 0.5, x), "cap": cap}

    return {
        "odd": case(3, 5, 4),
        "capped": case(3, 5, 4, cap=2.0),
        "ones": case(1, 1),
        "larger than a block": case(7, 37, 101, cap=2.0),
        "empty batch": case(0, 5, 4),
        "at the kinks": {"x": rng.integers(-1, 8, (3, 5, 4)).astype(float), "cap": 6.0},
    }
