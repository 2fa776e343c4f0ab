"""Max pooling: the largest value of each window."""

from typing import Any

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, **settings: Any) -> dict:
        return {"x": rng.standard_normal(shape), **settings}

    return {
        "rows dropped": case(3, 5, 7, 2),  # 5 and 7 do not divide by 2
        "even": case(2, 4, 6, 3, size=2),
        "overlapping": case(2, 7, 8, 3, size=3, stride=2),
        "gaps": case(2, 8, 6, 1, size=2, stride=3),
        "a stem's": case(2, 8, 7, 2, size=3, stride=2, padding=1),
        "unequal, a window that hangs over": case(
            2, 8, 7, 3, size=(3, 2), stride=(2, 3), padding=(1, 0), ceil_mode=True
        ),
        "ties": {"x": rng.integers(0, 3, (2, 6, 4, 3)).astype(float), "size": 2},
        "ones": case(1, 1, 1, 1, size=1),
        "larger than a block": case(3, 33, 35, 67, size=3, stride=2),
        "empty batch": case(0, 4, 4, 3),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference: four channels at a time, and what that leaves over."""

    def case(*shape: int, **settings: Any) -> dict:
        return {"x": rng.integers(0, 9, shape).astype(float), **settings}

    return {
        "channels by four": case(2, 5, 7, 8),
        "channels by four, overlapping": case(2, 9, 6, 12, size=3, stride=2),
        "channels by four, gaps": case(2, 7, 9, 4, size=2, stride=3),
        "channels by four, a large window": case(1, 9, 8, 4, size=5, stride=1),
        "channels by four, padding": case(2, 9, 8, 4, size=3, stride=2, padding=1, ceil_mode=True),
        "apart, padding": case(2, 9, 8, 5, size=(2, 3), stride=3, padding=((1, 0), (1, 2)), ceil_mode=True),
        "overlapping one way, gaps the other": case(2, 7, 9, 8, size=(3, 2), stride=(1, 3), padding=1),
        "more than a block in a row": case(1, 2, 40, 67),
        "a line of channels, a vector of them, and some": case(2, 4, 6, 27),
    }
