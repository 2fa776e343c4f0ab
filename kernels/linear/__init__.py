"""Linear: y = x W + b."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, out: int, bias: bool = True) -> dict:
        return {
            "x": rng.standard_normal(shape),
            "W": rng.standard_normal((shape[-1], out)),
            "b": rng.standard_normal(out) if bias else None,
        }

    return {
        "odd": case(3, 5, out=4),
        "sequence": case(4, 3, 5, out=2),
        "no bias": case(3, 5, out=4, bias=False),
        "ones": case(1, 1, out=1),
        "larger than a block": case(131, 67, out=97),
        "empty batch": case(0, 5, out=4),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""

    def case(*shape: int, out: int) -> dict:
        x, W, b = rng.standard_normal(shape), rng.standard_normal((shape[-1], out)), rng.standard_normal(out)
        return {"x": x, "W": W, "b": b}

    return {"many rows": case(40, 35, 2, out=5), "many columns": case(3, 2, out=601)}
