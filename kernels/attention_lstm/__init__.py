"""The LSTM that looks before every step: z_t = Σ α x by soft attention from h_{t-1}, then the cell on [word_t, z_t]."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(
        T: int, N: int, L: int, E: int, D: int, A: int, H: int, masked: bool = False, additive: bool = True, **more
    ) -> dict:
        mask = None
        if masked:
            mask = rng.random((N, L)) < 0.6
            mask[:, 0] = True
        return {
            "words": rng.standard_normal((T, N, E)),
            "x": rng.standard_normal((N, L, D)),
            "keys": rng.standard_normal((N, L, A)),
            "h0": 0.5 * rng.standard_normal((N, H)),
            "c0": rng.standard_normal((N, H)),
            "Wq": rng.standard_normal((H, A)) / H**0.5,
            "v": rng.standard_normal(A) if additive else None,
            "Wx": rng.standard_normal((E + D, 4 * H)) / (E + D) ** 0.5,
            "Wh": rng.standard_normal((H, 4 * H)) / H**0.5,
            "b": rng.standard_normal(4 * H),
            "mask": mask,
            **more,
        }

    far_keys, far_query = case(3, 3, 5, 2, 4, 3, 6), case(1, 3, 5, 2, 4, 3, 6)
    far_keys["keys"][1] *= 40  # far outside of where tanh is steep
    far_query["keys"][1] *= 40
    far_query["Wq"] *= 40
    return {
        "odd": case(4, 3, 5, 2, 6, 7, 4),
        "mask": case(4, 3, 5, 2, 3, 4, 6, masked=True),
        "dot": case(4, 3, 5, 2, 6, 3, 4, additive=False),
        "dot, mask": case(4, 3, 6, 2, 3, 5, 4, masked=True, additive=False),
        "keys far out": far_keys,
        "all far out": far_query,
        "one region": case(3, 2, 1, 2, 3, 4, 5),
        "one step": case(1, 3, 4, 2, 3, 6, 5),
        "ones": case(1, 3, 1, 1, 1, 1, 1),
        "larger than a block": case(5, 31, 37, 19, 67, 41, 33, masked=True),
        "larger than a block, dot": case(3, 15, 13, 17, 35, 67, 31, additive=False),
        "no steps": case(0, 3, 5, 2, 6, 7, 4),
        "empty batch": case(3, 0, 5, 2, 6, 7, 4),
    }
