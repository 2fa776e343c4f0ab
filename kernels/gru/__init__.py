"""Gated recurrent unit over a whole sequence, with sequences of different lengths; gates in the order r, z, n."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(T: int, N: int, D: int, H: int, lengths: list[int] | None = None, reset: str = "after") -> dict:
        return {
            "x": rng.standard_normal((T, N, D)),
            "h0": rng.standard_normal((N, H)),
            "Wx": rng.standard_normal((D, 3 * H)) / D**0.5,
            "Wh": rng.standard_normal((H, 3 * H)) / H**0.5,
            "b": rng.standard_normal((4 if reset == "after" else 3) * H),
            "lengths": None if lengths is None else np.array(lengths),
            "reset": reset,
        }

    return {
        "odd": case(4, 3, 5, 2),
        "reset before": case(4, 3, 5, 2, reset="before"),
        "lengths": case(4, 3, 2, 5, lengths=[4, 1, 3]),
        "reset before, lengths": case(4, 3, 2, 5, lengths=[2, 0, 4], reset="before"),
        "a length of zero": case(4, 3, 2, 5, lengths=[2, 0, 4]),
        "one step": case(1, 3, 2, 5),
        "one step of a single sequence": case(1, 1, 19, 21),
        "a step past the end": case(1, 1, 3, 5, lengths=[0]),
        "no inputs": case(1, 1, 0, 5),
        "ones": case(1, 1, 1, 1),
        "larger than a block": case(7, 37, 19, 41, lengths=[1 + i % 7 for i in range(37)]),
        "no steps": case(0, 3, 2, 5),
        "no sequences": case(4, 0, 2, 5),
        "a single sequence": case(4, 1, 3, 33, lengths=[3]),
        "one past a tile": case(3, 29, 17, 33),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference.

    Of large x, the products are exact: a gate near 0 that is left over of terms of 200 would only tell whose rounding was
    the luckier.
    """
    tame = cases(rng)["odd"]
    exact = tame | {"Wx": np.round(16 * tame["Wx"]) / 16, "b": np.round(16 * tame["b"]) / 16}
    return {
        "spread by 200": exact | {"x": np.round(200 * tame["x"])},
        "plus and minus 1e4": exact | {"x": 1e4 * np.sign(tame["x"])},
    }
