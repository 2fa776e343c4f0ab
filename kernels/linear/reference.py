"""Linear, the specification: y = x W + b."""

from typing import NamedTuple

from scratchlv.arrays import Array


class Cache(NamedTuple):
    x: Array  # (..., D)
    W: Array  # (D, M)
    bias: bool
    need_dx: bool


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


def backward(dy: Array, cache: Cache) -> tuple[Array | None, Array, Array | None]:
    """``dx`` (..., D), None if x is data, ``dW`` (D, M), and ``db`` (M,), None where there was no bias; ``dy`` is (..., M)."""
    x, W, bias, need_dx = cache
    dx = dy @ W.T if need_dx else None  # (..., D)
    x2, dy2 = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])  # all rows alike
    dW = x2.T @ dy2  # (D, M)
    db = dy2.sum(0) if bias else None  # (M,): the bias was added to every row
    return dx, dW, db
