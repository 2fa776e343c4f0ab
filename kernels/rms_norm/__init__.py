"""Root mean square normalisation: y = x / sqrt(mean x² + eps), over all numbers of a picture."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, **settings: float) -> dict:
        sizes = rng.uniform(0.1, 20, (shape[0], *[1] * (len(shape) - 1)))  # each picture has its own
        return {"x": sizes * rng.standard_normal(shape), **settings}

    return {
        "odd": case(3, 2, 5, 7),
        "a vector each": case(4, 7),
        "eps that is felt": case(3, 2, 5, 7, eps=1.0),
        "ones": {"x": rng.uniform(0.5, 1.5, (2, 1, 1, 1)), "eps": 1.0},  # eps leaves more than the sign
        "larger than a block": case(3, 13, 11, 67),
        "no pictures": case(0, 2, 2, 3),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""
    x = rng.standard_normal((3, 2, 5, 7))
    x[1] = 0
    return {"a picture of zeros": {"x": x, "eps": 1e-2}, "many pictures": {"x": rng.standard_normal((70, 3, 3, 5))}}
