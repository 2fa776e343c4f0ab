"""Embedding: y = W[tokens], a row of W for each token."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, V: int, E: int) -> dict:
        return {"tokens": rng.integers(0, V, shape), "W": rng.standard_normal((V, E))}

    return {
        "repeated tokens": case(4, 3, V=5, E=2),  # 12 tokens out of 5: some occur more than once
        "one token again and again": {"tokens": np.full((7,), 1), "W": rng.standard_normal((3, 5))},
        "one row": case(5, V=1, E=1),
        "no leading axis": {"tokens": np.array(2), "W": rng.standard_normal((4, 3))},
        "larger than a block": case(37, 11, V=101, E=131),
        "empty batch": case(0, 3, V=5, E=2),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""
    frequent = np.where(rng.random(1500) < 0.9, 3, rng.integers(0, 7, 1500))
    return {
        "a frequent token": {"tokens": frequent, "W": rng.standard_normal((7, 8))},
        "more than two tiles": {"tokens": rng.integers(0, 300, 2100), "W": rng.standard_normal((301, 4))},
        "rows longer than a block": {"tokens": rng.integers(0, 3, 9), "W": rng.standard_normal((3, 650))},
        "a tile, and whole pieces": {"tokens": np.repeat(np.arange(32), 32), "W": rng.standard_normal((32, 3))},
    }
