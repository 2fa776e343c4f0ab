"""Depthwise convolution: every channel has its own small filter, and channels do not mix."""

import numpy as np

VARIANTS = ("reference", "numba_cpu")


def cases(rng: np.random.Generator) -> dict[str, dict]:
    """Inputs of ``forward`` to check it on, float64, by name; gradcheck takes the first."""

    def case(*shape: int, kernel: tuple[int, int], bias: bool = True, **how) -> dict:
        return {
            "x": rng.standard_normal(shape),
            "W": rng.standard_normal((*kernel, shape[-1])),
            "b": rng.standard_normal(shape[-1]) if bias else None,
            **how,
        }

    return {
        "odd": case(3, 5, 4, 2, kernel=(3, 2), padding=1),
        "stride 2, TensorFlow's SAME": case(2, 6, 4, 3, kernel=(3, 3), stride=2, padding=((0, 1), (0, 1))),
        "stride 2, odd image": case(2, 7, 5, 3, kernel=(3, 3), stride=2, padding=1),
        "rows that no window reaches": case(2, 6, 7, 3, kernel=(1, 2), stride=3),
        "more padding than kernel": case(1, 2, 3, 2, kernel=(2, 2), padding=((3, 0), (1, 2))),
        "no bias": case(3, 5, 4, 2, kernel=(5, 4), bias=False),
        "ones": case(1, 1, 1, 1, kernel=(1, 1)),
        "larger than a block": case(2, 37, 35, 67, kernel=(5, 5), padding=((1, 2), (2, 1))),
        "empty batch": case(0, 5, 4, 2, kernel=(3, 2), padding=1),
    }
