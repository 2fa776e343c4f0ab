"""Logistic sigmoid: y = σ(x) = 1 / (1 + e⁻ˣ)."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int) -> dict:
        return {"x": 2 * rng.standard_normal(shape)}

    return {
        "odd": case(3, 5, 7),
        "ones": {"x": rng.uniform(-0.5, 0.5, (1, 1))},  # a slope that is more than rounding
        "larger than a block": case(7, 37, 101),
        "empty batch": case(0, 5, 4),
    }
