"""Softmax and cross-entropy: the mean of −log softmax(logits)[target] over the places that count."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, V: int, scale: float = 1.0, keep: float | None = None) -> dict:
        targets = rng.integers(0, V, shape)
        mask = None if keep is None else rng.random(shape) < keep
        if mask is not None:
            targets = np.where(mask, targets, -1)  # padding, not to be read
        return {"logits": scale * rng.standard_normal((*shape, V)), "targets": targets, "mask": mask}

    weights = case(4, 3, V=5)
    weights["mask"] = np.round(rng.random((4, 3)), 1)
    return {
        "sequence with padding": case(4, 3, V=5, keep=0.7),
        "no mask": case(7, V=3),
        "weights": weights,
        "logits of 1e4": case(3, V=5, scale=1e4),
        "all masked": case(2, 3, V=4, keep=0.0),
        "one class": case(3, V=1),
        "larger than a block": case(13, 11, V=1031, keep=0.8),
        "empty batch": case(0, V=5),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""
    logits, targets = 200 * rng.standard_normal((5, 301)), rng.integers(0, 301, 5)
    return {"the gradient takes the place of the logits": {"logits": logits, "targets": targets, "overwrite": True}}
