"""Depthwise convolution: every channel has its own small filter, and channels do not mix."""

import numpy as np

VARIANTS = ("reference", "numba_cpu", "cuda")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""
    case = _cases_from(rng)
    return {
        "odd": case(3, 5, 4, 2, kernel=(3, 2), padding=1),
        "stride 2, TensorFlow's SAME": case(2, 6, 4, 3, kernel=(3, 3), stride=2, padding=((0, 1), (0, 1))),
        "stride 2, odd image": case(2, 7, 5, 3, kernel=(3, 3), stride=2, padding=1),
        "rows that no window reaches": case(2, 6, 7, 3, kernel=(1, 2), stride=3),
        "more padding than kernel": case(1, 2, 3, 2, kernel=(2, 2), padding=((3, 0), (1, 2))),
        "dilation, unequal strides": case(2, 8, 9, 3, kernel=(2, 4), stride=(2, 1), padding=(1, 2), dilation=(2, 3)),
        "dilation and stride with a common factor": case(
            2, 9, 7, 2, kernel=(3, 2), stride=(2, 4), padding=2, dilation=(4, 2)
        ),
        "no bias": case(3, 5, 4, 2, kernel=(5, 4), bias=False),
        "ones": case(1, 1, 1, 1, kernel=(1, 1)),
        "larger than a block": case(2, 37, 35, 67, kernel=(5, 5), padding=((1, 2), (2, 1))),
        "empty batch": case(0, 5, 4, 2, kernel=(3, 2), padding=1),
    }


def hard_cases(rng: np.random.Generator) -> dict[str, dict]:
    """More inputs, for the comparison of a variant with the reference: filters that kernels know, and channels by four."""
    case = _cases_from(rng)
    return {
        "3 x 3": case(2, 9, 11, 8, kernel=(3, 3), padding=1),
        "3 x 3, stride 2": case(2, 9, 11, 8, kernel=(3, 3), stride=2, padding=1),
        "5 x 5, stride 2": case(1, 8, 13, 36, kernel=(5, 5), stride=2, padding=2, bias=False),
        "4 x 4, stride 3": case(2, 13, 11, 4, kernel=(4, 4), stride=3, padding=((2, 1), (0, 3))),
        "3 x 3, dilated": case(2, 9, 11, 8, kernel=(3, 3), padding=2, dilation=2),
        "3 x 3, unequal strides": case(1, 9, 11, 8, kernel=(3, 3), padding=1, stride=(1, 2)),
        "many pixels": case(3, 20, 24, 3, kernel=(2, 3)),
    }


def _cases_from(rng: np.random.Generator):
    def case(*shape: int, kernel: tuple[int, int], bias: bool = True, **how) -> dict:
        return {
            "x": rng.standard_normal(shape),
            "W": rng.standard_normal((*kernel, shape[-1])),
            "b": rng.standard_normal(shape[-1]) if bias else None,
            **how,
        }

    return case
