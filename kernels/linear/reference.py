"""Linear, the specification: y = x W + b."""

from typing import NamedTuple

from scratchlv.arrays import Array


class Cache(NamedTuple):
    x: Array  # (..., D)
    W: Array  # (D, M)
    bias: bool
    x_is_data: bool


def forward(
    x: Array, W: Array, b: Array | None = None, *, x_is_data: bool = False, train: bool = True
) -> tuple[Array, Cache | None]:
    """``y = x W + b``, with ``x`` (..., D), ``W`` (D, M), ``b`` (M,) or None; ``y`` is (..., M).

    ``x_is_data`` says that nobody wants ``dx``: it is then None.
    """
    y = x @ W  # (..., M)
    if b is not None:
        y = y + b
    return y, Cache(x, W, b is not None, x_is_data) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array | None, Array, Array | None]:
    """``dx`` (..., D), None if x is data, ``dW`` (D, M), and ``db`` (M,), None where there was no bias; ``dy`` is (..., M)."""
    x, W, bias, x_is_data = cache
    dx = None if x_is_data else dy @ W.T  # (..., D)
    x2, dy2 = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])  # all rows alike
    dW = x2.T @ dy2  # (D, M)
    db = dy2.sum(0) if bias else None  # (M,): the bias was added to every row
    return dx, dW, db
