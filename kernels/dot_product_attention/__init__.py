"""Dot-product attention: e = scale · keys·(query W), α = softmax(e), z = Σ α x."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    case = _cases_from(rng)
    found = {
        "odd": case(3, 5, 2, 4, Q=6),
        "no W": case(3, 5, 2, 4),
        "mask": case(3, 5, 4, 2, Q=3, masked=True),
        "scaled, mask, no W": case(3, 5, 2, 4, masked=True, scale=0.5),
        "one region": case(3, 1, 2, 4, Q=6),
        "ones": case(1, 1, 1, 1, Q=1),
        "sharp": case(2, 7, 3, 4, Q=5, scale=20.0),
        "larger than a block": case(5, 49, 67, 131, Q=71, scale=131**-0.5),
        "empty batch": case(0, 5, 2, 4, Q=6),
        "nowhere to look": case(3, 5, 4, 2, Q=3, masked=True),
    }
    found["nowhere to look"]["mask"][1] = False
    return found | {
        "several queries": case(2, 5, 3, 7, Q=6, T=4),
        "several queries, mask, no W": case(3, 5, 4, 2, T=2, masked=True, scale=0.5),
        "a mask for each query": case(2, 7, 3, 4, Q=5, T=3, mask=rng.random((2, 3, 7)) < 0.5) | {"causal": True},
        "causal": case(2, 5, 3, 4, T=5, scale=0.5) | {"causal": True},
        "causal, the last of many": case(2, 7, 2, 5, Q=3, T=3) | {"causal": True, "offset": 4},
        "causal, some look nowhere, scores": case(2, 3, 4, 6, T=5, scale=0.4)
        | {"causal": True, "offset": -2, "scores": True},
        "scores, mask": case(3, 5, 2, 4, Q=6, masked=True, scale=0.5) | {"scores": True},
        "more queries than a block has": case(2, 67, 5, 3, T=70),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference: regions that are looked at in several pieces.

    Of a picture where nearly all α is one region's, α (dα − Σ α dα) is what cancels but for the rounding of that α: a
    scale of 3 would leave 1e-3 of it, and only tell whose rounding was the luckier.
    """
    case = _cases_from(rng)
    return {
        "several pieces": case(2, 37, 5, 6, Q=4, masked=True),
        "several pieces, in fours": case(3, 50, 8, 12, Q=8, scale=2.0),
        "whole pieces, no W": case(2, 48, 4, 3, masked=True, scale=3.0),
        "a piece left out": case(2, 48, 4, 3, Q=5, masked=True, left_out=slice(16, 32)),
        "nowhere to look, in pieces": case(2, 37, 4, 3, masked=True) | {"mask": np.arange(2 * 37).reshape(2, 37) < 37},
    }


def _cases_from(rng: np.random.Generator):
    def case(
        N: int,
        L: int,
        D: int,
        K: int,
        Q: int | None = None,
        masked: bool = False,
        scale: float = 1.0,
        left_out: slice = slice(0),
        T: int | None = None,
        mask: np.ndarray | None = None,
    ) -> dict:
        if masked:
            mask = rng.random((N, L)) < 0.6
            mask[:, 0] = True
            mask[:, left_out] = False
        return {
            "x": rng.standard_normal((N, L, D)),
            "keys": rng.standard_normal((N, L, K)),
            "query": rng.standard_normal((N, Q or K) if T is None else (N, T, Q or K)),
            "W": None if Q is None else rng.standard_normal((Q, K)) / Q**0.5,
            "mask": mask,
            "scale": scale,
        }

    return case
