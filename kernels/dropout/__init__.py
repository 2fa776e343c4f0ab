"""Dropout: each value is zero with probability p, and 1 / (1 − p) times itself otherwise."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, p: float, seed: int | tuple[int, ...] = 1, **more: tuple[int, int]) -> dict:
        return {"x": rng.standard_normal(shape), "p": p, "seed": seed, **more}

    return {
        "odd": case(4, 3, 5, p=0.3),
        "one number per layer and step": case(3, 7, p=0.5, seed=(1, 2, 3)),
        "keep everything": case(3, 5, p=0.0),
        "almost nothing": case(11, 7, p=0.9, seed=2**63),
        "ones": case(1, 1, p=0.5),
        "larger than a block": case(131, 67, p=0.2),
        "rows of a larger array": case(4, 3, 5, p=0.3, window=(2, 7)),
        "empty batch": case(0, 5, p=0.5),
    }
