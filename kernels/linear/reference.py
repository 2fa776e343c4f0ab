"""Linear, the specification: y = x W + b."""

import math
from typing import NamedTuple

from scratchlv.arrays import Array, add
from scratchlv.kernels.building_blocks.shapes import require


class Cache(NamedTuple):
    x: Array  # (..., D)
    W: Array  # (D, M)
    bias: bool
    need_dx: bool


class Gradients(NamedTuple):
    dx: Array | None  # (..., D), None where nobody wants it
    dW: Array  # (D, M)
    db: Array | None  # (M,), None where there is no bias


def forward(
    x: Array, W: Array, b: Array | None = None, *, need_dx: bool = True, train: bool = True
) -> tuple[Array, Cache | None]:
    """``y = x W + b``, with ``x`` (..., D), ``W`` (D, M), ``b`` (M,) or None; ``y`` is (..., M).

    ``need_dx=False`` says that nobody wants ``dx``: it is then None.
    """
    y = x @ W  # (..., M)
    if b is not None:
        y = y + b
    return y, Cache(x, W, b is not None, need_dx) if train else None


def backward(dy: Array, cache: Cache, *, dx: Array | None = None) -> Gradients:
    """``dx, dW, db`` from ``dy`` (..., M); where ``dx`` (..., D) is given, from other uses of x, the new one is added to it."""
    x, W, bias, need_dx = cache
    require("x", dx=(dx, x.shape))
    dx = add(dx, dy @ W.T) if need_dx else None  # (..., D)
    rows = math.prod(x.shape[:-1])  # all are treated alike
    x2, dy2 = x.reshape(rows, x.shape[-1]), dy.reshape(rows, dy.shape[-1])
    dW = x2.T @ dy2  # (D, M)
    db = dy2.sum(0) if bias else None  # (M,): the bias was added to every row
    return Gradients(dx, dW, db)
