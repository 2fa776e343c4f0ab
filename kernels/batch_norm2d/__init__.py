"""Batch normalisation of feature maps: every channel is brought to mean 0 and variance 1, then scaled and shifted."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""
    case = _cases_from(rng)
    return {
        "odd": case(3, 5, 4, 2),
        "one pixel": case(5, 1, 1, 3),
        "one image, one channel": case(1, 3, 2, 1, eps=1e-3),
        "mean far from zero": case(3, 4, 5, 2, offset=100.0),
        "larger than a block": case(5, 37, 11, 67),
        "relu": case(3, 5, 4, 2, relu=True),
        "relu, pool": case(3, 4, 6, 2, relu=True, pool=True),
        "pool, rows dropped": case(2, 5, 7, 3, pool=True),
        "relu, pool, larger than a block": case(3, 19, 17, 67, relu=True, pool=True),
        "frozen, relu": case(3, 5, 4, 2, frozen=True, relu=True),
        "frozen, relu, pool": case(3, 4, 6, 2, frozen=True, relu=True, pool=True),
        "frozen, one number": case(1, 1, 1, 7, frozen=True),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference: channels by four, and a mean that moves."""
    case = _cases_from(rng)
    drifting = case(3, 23, 16, 8)
    drifting["x"] += 300 * np.linspace(-1, 1, 23)[:, None, None]
    return {
        "channels by four": case(2, 7, 9, 12, relu=True),
        "channels by four, pool": case(2, 7, 9, 12, relu=True, pool=True),
        "more channels than a row of threads": case(2, 3, 3, 140),
        "mean far from zero, many pixels": case(2, 40, 31, 5, offset=1000.0),
        "a mean that moves": drifting,
    }


def _cases_from(rng: np.random.Generator):
    def case(*shape: int, offset: float = 0.5, eps: float = 1e-5, **follows: bool) -> dict:
        # x last: an output gradient drawn from the same seed would be parallel to it, and dx nothing but rounding
        gamma, beta = rng.uniform(0.5, 2, shape[-1]), rng.standard_normal(shape[-1])
        x = 2 * rng.standard_normal(shape) + offset
        found = {"x": x, "gamma": gamma, "beta": beta, "eps": eps, **follows}
        if follows.get("frozen"):
            found |= {"running_mean": rng.standard_normal(shape[-1]), "running_var": rng.uniform(0.5, 3, shape[-1])}
        return found

    return case
