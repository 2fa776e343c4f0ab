"""Additive (soft) attention: e = v·tanh(keys + query), α = softmax(e), z = Σ α x."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""
    case = _cases_from(rng)
    found = {
        "odd": case(3, 5, 2, 4),
        "mask": case(3, 5, 4, 2, masked=True),
        "one region": case(3, 1, 2, 4),
        "ones": case(1, 1, 1, 1),
        "sharp": case(2, 7, 3, 4, scale=20.0),
        "larger than a block": case(5, 49, 67, 131),
        "empty batch": case(0, 5, 2, 4),
        "small keys and query": case(3, 5, 2, 4),
        "small keys and query, scores": case(3, 5, 2, 4) | {"scores": True},
    }
    for small in ("small keys and query", "small keys and query, scores"):
        for name in ("keys", "query"):
            found[small][name] *= 1e-2  # where tanh is as small as its argument
    found["nowhere to look"] = case(3, 5, 4, 2, masked=True)
    found["nowhere to look"]["mask"][1] = False
    return found | {
        "several queries": case(2, 5, 3, 7, T=4),
        "several queries, mask": case(3, 5, 4, 2, T=2, masked=True),
        "a mask for each query": case(2, 7, 3, 4, T=3, mask=rng.random((2, 3, 7)) < 0.5) | {"causal": True},
        "causal": case(2, 5, 3, 4, T=5) | {"causal": True},
        "causal, the last of many": case(2, 7, 2, 5, T=3) | {"causal": True, "offset": 4},
        "causal, some look nowhere, scores": case(2, 3, 4, 6, T=5) | {"causal": True, "offset": -2, "scores": True},
        "scores, mask": case(3, 5, 2, 4, masked=True) | {"scores": True},
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference: regions that are looked at in several pieces."""
    case = _cases_from(rng)
    return {
        "several pieces": case(2, 37, 5, 6, masked=True, scale=5.0),
        "several pieces, in fours": case(3, 50, 8, 12, scale=2.0),
        "whole pieces": case(2, 48, 4, 3, masked=True, scale=5.0),
        "a piece left out": case(2, 48, 4, 3, masked=True, left_out=slice(16, 32)),
        "nowhere to look, in pieces": case(2, 37, 4, 3, masked=True) | {"mask": np.arange(2 * 37).reshape(2, 37) < 37},
    }


def _cases_from(rng: np.random.Generator):
    def case(
        N: int,
        L: int,
        D: int,
        A: int,
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
            "keys": rng.standard_normal((N, L, A)),
            "query": rng.standard_normal((N, A) if T is None else (N, T, A)),
            "v": scale * rng.standard_normal(A),
            "mask": mask,
        }

    return case
