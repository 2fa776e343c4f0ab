"""The logarithm of a softmax: y = z − log Σ exp z, over the last axis."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, scale: float = 1.0) -> dict:
        return {"logits": scale * rng.standard_normal(shape)}

    return {
        "odd": case(3, 5),
        "sequence": case(4, 3, 7),
        "one row": case(1, 31),
        "one class": case(3, 1),
        "logits of 1e4": case(3, 5, scale=1e4),
        "larger than a block": case(13, 1031),
        "empty batch": case(0, 5),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""
    return {"a row longer than shared memory": {"logits": rng.standard_normal((1, 13_001))}}
