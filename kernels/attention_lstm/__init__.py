"""The LSTM that looks before every step: z_t = Σ α x by soft attention from h_{t-1}, then the cell on [word_t, z_t]."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    case = _cases_from(rng)
    far_keys, far_query = case(3, 3, 5, 2, 4, 3, 6), case(1, 3, 5, 2, 4, 3, 6)
    far_keys["keys"][1] *= 40  # far outside of where tanh is steep
    far_query["keys"][1] *= 40
    far_query["Wq"] *= 40
    found = {
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
        "small keys and queries": case(4, 3, 5, 2, 6, 7, 4),
    }
    for name in ("keys", "Wq"):
        found["small keys and queries"][name] *= 1e-2  # where tanh is as small as its argument
    for name, additive in (("nowhere to look", True), ("nowhere to look, dot", False)):
        found[name] = case(4, 3, 5, 2, 3, 4, 6, masked=True, additive=additive)
        found[name]["mask"][1] = False
    found["gate"] = case(4, 3, 5, 2, 6, 7, 4, gated=True)
    found["gate, dot, mask"] = case(4, 3, 6, 2, 3, 5, 4, masked=True, additive=False, gated=True)
    found["closed and open gates"] = case(4, 3, 5, 2, 6, 7, 4, gated=True)
    found["closed and open gates"]["Wg"] *= 30
    found["drawn"] = case(4, 3, 5, 2, 6, 7, 4, drawn=True)
    found["drawn, gate, mask"] = case(4, 3, 5, 2, 3, 4, 6, masked=True, gated=True, drawn=True)
    found["drawn, dot, larger than a block"] = case(3, 13, 37, 17, 19, 35, 33, True, False, gated=True, drawn=True)
    found["drawn, nowhere to look"] = case(4, 3, 5, 2, 3, 4, 6, masked=True, gated=True, drawn=True)
    found["drawn, nowhere to look"]["mask"][1] = False
    return found


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference: regions that are looked at in several pieces.

    Of large words, the products are exact: a gate near 0 that is left over of terms of 200 would only tell whose rounding
    was the luckier.
    """
    case = _cases_from(rng)
    pieces, pieces_dot = case(2, 3, 37, 2, 5, 6, 5, masked=True), case(2, 2, 50, 3, 8, 4, 8, additive=False)
    pieces["v"] *= 5
    pieces_dot["Wq"] *= 3
    tame = cases(rng)["odd"]
    exact = tame | {name: np.round(16 * tame[name]) / 16 for name in ("Wx", "b")}
    return {
        "several pieces": pieces,
        "several pieces, dot": pieces_dot,
        "a piece left out": case(2, 2, 48, 2, 4, 3, 5, masked=True, left_out=slice(16, 32)),
        "more rows than lanes": case(2, 35, 3, 2, 9, 5, 7),
        "more rows than lanes, dot": case(2, 33, 3, 2, 5, 9, 9, additive=False),
        "spread by 200": exact | {"words": np.round(200 * tame["words"])},
        "plus and minus 1e4": exact | {"words": 1e4 * np.sign(tame["words"])},
    }


def _cases_from(rng: np.random.Generator):
    def case(
        T: int,
        N: int,
        L: int,
        E: int,
        D: int,
        A: int,
        H: int,
        masked: bool = False,
        additive: bool = True,
        left_out: slice = slice(0),
        gated: bool = False,
        drawn: bool = False,
    ) -> dict:
        mask = None
        if masked:
            mask = rng.random((N, L)) < 0.6
            mask[:, 0] = True
            mask[:, left_out] = False
        arrays = {
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
            "Wg": rng.standard_normal(H) / H**0.5 if gated else None,
            "bg": rng.standard_normal(1) if gated else None,
        }
        if drawn:
            arrays["draws"] = _clear_of_edges(arrays, rng)
            arrays["draws"][:, N // 2 + 1 :] = -1  # these look everywhere
        return arrays

    return case


def _clear_of_edges(arrays: dict, rng: np.random.Generator) -> np.ndarray:
    """Draws (T, N), all at least 1e-3 from where they would draw another region: no rounding moves them there."""
    from scratchlv.kernels.attention_lstm.reference import DRAWS, forward

    draws = np.zeros(arrays["words"].shape[:2], np.int64)
    for t in range(len(draws)):  # what is drawn at a step changes what comes after it
        near = np.ones(draws.shape[1], bool)
        while near.any():
            draws[t, near] = rng.integers(0, DRAWS, near.sum())
            (_, _, alpha), _ = forward(**arrays | {"draws": draws}, train=False)
            near = (np.abs(alpha[t].cumsum(axis=1) - draws[t, :, None] / DRAWS) < 1e-3).any(axis=1)
    return draws
