"""Matrix product: C = A B, the operation that most of the time goes to."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(m: int, k: int, n: int) -> dict:
        return {"a": rng.standard_normal((m, k)), "b": rng.standard_normal((k, n))}

    return {
        "odd": case(3, 5, 4),
        "ones": case(1, 1, 1),
        "one row": case(1, 7, 33),
        "no inner dimension": case(3, 0, 4),
        "empty": case(0, 5, 4),
        "larger than a block": case(131, 67, 97),
        "one past a tile": case(29, 33, 65),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""

    def case(m: int, k: int, n: int) -> dict:
        return {"a": rng.standard_normal((m, k)), "b": rng.standard_normal((k, n))}

    return {
        "in fours": case(132, 20, 140),
        "fours in one direction": case(7, 12, 5),
        "long sums": case(5, 523, 6),
        "long sums in fours": case(4, 1028, 8),
    }
