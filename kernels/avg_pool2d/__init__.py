"""Average pooling: every window, or the whole image, becomes its mean."""

from typing import Any

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, **settings: Any) -> dict:
        return {"x": rng.standard_normal(shape), **settings}

    return {
        "odd": case(3, 7, 5, 2, size=2),
        "global": case(3, 5, 4, 2, size=None),
        "overlapping": case(2, 6, 5, 3, size=3, stride=2),
        "gaps": case(2, 8, 7, 3, size=2, stride=3),
        "padding": case(2, 7, 6, 3, size=3, stride=2, padding=1),
        "padding that does not count": case(2, 6, 5, 3, size=3, stride=(2, 1), padding=1, count_include_pad=False),
        "unequal, a window that hangs over": case(
            2, 8, 7, 2, size=(3, 2), stride=(2, 3), padding=(1, 0), ceil_mode=True
        ),
        "ones": case(1, 1, 1, 1, size=1),
        "larger than a block": case(2, 37, 35, 67, size=3, stride=2),
        "empty batch": case(0, 5, 4, 2, size=2),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference."""

    def case(*shape: int, **settings: Any) -> dict:
        return {"x": rng.standard_normal(shape), **settings}

    return {
        "channels in fours, windows that overlap": case(2, 9, 8, 12, size=3, stride=2),
        "channels in fours, gaps": case(2, 7, 9, 8, size=2, stride=3),
        "a whole picture of many pixels": case(3, 9, 7, 37, size=None),
        "channels in fours, padding": case(
            2, 9, 8, 12, size=(3, 4), stride=2, padding=((2, 1), (0, 3)), ceil_mode=True, count_include_pad=False
        ),
        "large windows, padding": case(2, 13, 15, 5, size=6, stride=5, padding=3, ceil_mode=True),
        "large windows": case(2, 13, 15, 33, size=6, stride=5),
    }
