"""Softmax: y = exp z / Σ exp z, over the last axis, where a mask allows."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, around: float = 0.0) -> dict:
        return {"logits": around + rng.standard_normal(shape)}

    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]], bool)  # the second may be nowhere
    return {
        "odd": case(3, 5),
        "sequence": case(4, 3, 7),
        "one row": case(1, 31),
        "one class": case(3, 1),
        "logits around 1e4": case(3, 5, around=1e4),
        "masked": case(3, 5) | {"mask": mask},
        "larger than a block": case(13, 1031),
        "larger than a block, masked": case(2, 3, 521) | {"mask": rng.random((2, 3, 521)) < 0.7},
        "empty batch": case(0, 5),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""
    logits = rng.standard_normal((1, 13_001))
    return {"a row longer than shared memory": {"logits": logits, "mask": rng.random(logits.shape) < 0.9}}
