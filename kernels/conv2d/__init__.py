"""Two-dimensional convolution (cross-correlation, as every library has it), NHWC."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    case = _cases_from(rng)
    return {
        "odd": case((3, 5, 7, 2), (3, 2, 2, 4), padding=1),
        "stride 2": case((2, 7, 5, 3), (3, 3, 3, 4), stride=2, padding=1),
        "stride 3, no bias": case((2, 8, 7, 2), (2, 3, 2, 3), bias=False, stride=3),
        "one-sided padding": case((2, 4, 5, 3), (3, 3, 3, 2), stride=2, padding=((0, 1), (1, 0))),
        "groups": case((2, 5, 4, 6), (3, 3, 2, 9), padding=1, groups=3),
        "dilation, unequal strides": case((2, 8, 9, 2), (2, 3, 2, 3), stride=(2, 1), padding=(1, 2), dilation=(2, 3)),
        "dilation and stride with a common factor": case(
            (2, 9, 11, 3), (3, 2, 3, 4), stride=(2, 4), padding=2, dilation=(4, 2)
        ),
        "depthwise": case((2, 5, 4, 3), (3, 3, 1, 3), padding=1, groups=3),
        "1x1": case((2, 3, 4, 9), (1, 1, 9, 5)),
        "one pixel": case((1, 1, 1, 1), (1, 1, 1, 1)),
        "wide": case((2, 3, 4, 11), (3, 3, 11, 3), padding=1),
        "larger than a block": case((3, 19, 17, 21), (3, 3, 21, 67), padding=1, exact=True),
        "larger than a block, stride 2": case((3, 19, 17, 40), (5, 3, 40, 33), stride=2, padding=((2, 2), (0, 1))),
        "relu": case((2, 5, 4, 3), (3, 3, 3, 4), padding=1, relu=True),
        "pool, rows dropped": case((2, 5, 7, 2), (3, 2, 2, 4), padding=1, pool=True),
        "relu, pool": case((2, 6, 8, 3), (3, 3, 3, 4), padding=1, relu=True, pool=True),
        "relu, pool, stride 2": case((2, 11, 9, 11), (3, 3, 11, 5), stride=2, padding=1, relu=True, pool=True),
        "relu, pool, larger than a block, exact": case(
            (3, 19, 17, 21), (3, 3, 21, 67), padding=1, relu=True, pool=True, exact=True
        ),
        "empty batch": case((0, 5, 5, 3), (3, 3, 3, 4), padding=1),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference: channels by four, and several tiles each way."""
    case = _cases_from(rng)
    return {
        "several tiles, few channels": case((2, 11, 9, 3), (3, 3, 3, 68), padding=1),
        "several tiles, pool": case((2, 13, 18, 4), (2, 3, 4, 68), padding=1, relu=True, pool=True),
        "several tiles, stride 2": case((3, 17, 11, 12), (3, 3, 12, 20), stride=2, padding=((0, 1), (1, 0))),
        "stride 3, window of 2": case((2, 11, 10, 8), (2, 2, 8, 4), stride=3, relu=True),
        "stride 2, one tap": case((2, 7, 6, 68), (1, 1, 68, 8), stride=2, bias=False),
        "groups by four": case((2, 6, 5, 12), (3, 2, 6, 24), padding=1, groups=2, stride=2),
        "more taps than a tile": case((1, 9, 8, 20), (3, 3, 20, 68), padding=1),
        "steps in parts": case((1, 5, 4, 64), (3, 3, 64, 60), padding=1, relu=True, pool=True),
        "steps in parts, stride 2, groups": case(
            (2, 4, 3, 128), (3, 3, 64, 128), stride=2, padding=1, groups=2, relu=True
        ),
        "pixels in parts": case((3, 15, 14, 3), (2, 2, 3, 8)),
        "groups, dilation, relu, pool": case(
            (2, 9, 8, 12), (3, 2, 4, 12), groups=3, dilation=(1, 2), relu=True, pool=True
        ),
        "groups larger than a block": case(
            (2, 7, 6, 70), (3, 3, 35, 80), groups=2, stride=(1, 2), padding=((0, 1), (2, 1))
        ),
        "a stem": case((1, 15, 14, 3), (7, 7, 3, 8), stride=2, padding=3, bias=False, relu=True),
        "more padding than window": case((1, 3, 4, 4), (2, 2, 4, 8), padding=((3, 0), (1, 2))),
    }


def _cases_from(rng: np.random.Generator):
    def case(x: tuple, W: tuple, bias: bool = True, **settings) -> dict:
        return {
            "x": rng.standard_normal(x),
            "W": rng.standard_normal(W),
            "b": rng.standard_normal(W[3]) if bias else None,
            **settings,
        }

    return case
