"""Depthwise convolution, the specification: y[h, w, c] = Σ_ij x[s·h + i, s·w + j, c] W[i, j, c] + b[c]."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array

Padding = int | tuple[tuple[int, int], tuple[int, int]]  # all around, or ((top, bottom), (left, right))


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    W: Array  # (kh, kw, C)
    bias: bool
    stride: int
    padding: Padding


class Gradients(NamedTuple):
    dx: Array  # (N, H, W, C)
    dW: Array  # (kh, kw, C)
    db: Array | None  # (C,), None where there is no bias


def forward(
    x: Array, W: Array, b: Array | None = None, *, stride: int = 1, padding: Padding = 0, train: bool = True
) -> tuple[Array, Cache | None]:
    """One filter per channel: ``x`` (N, H, W, C), ``W`` (kh, kw, C), ``b`` (C,) or None; ``y`` is (N, H', W', C).

    ``padding`` is a number of zeros all around, or ((top, bottom), (left, right)): TensorFlow's SAME is asymmetric.
    H' = (H + top + bottom - kh) // stride + 1, and W' alike; rows and columns that no window reaches are dropped.

    Raises:
        ValueError: the kernel does not fit into the padded image, or sees no pixel of it.
    """
    padded = np.pad(x, pads(padding))
    size = output_size(x.shape, W.shape, stride, padding)
    y = sum(padded[window] * W[tap] for tap, window in windows(W.shape, size, stride))  # (N, H', W', C)
    if b is not None:
        y = y + b
    return y, Cache(x, W, b is not None, stride, padding) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    """``dx, dW, db`` from ``dy`` (N, H', W', C)."""
    x, W, bias, stride, padding = cache
    padded = np.pad(x, pads(padding))
    dpadded, dW = np.zeros_like(padded), np.empty_like(W)
    for tap, window in windows(W.shape, dy.shape[1:3], stride):
        dW[tap] = (padded[window] * dy).sum((0, 1, 2))  # (C,): one number served every position of every image
        dpadded[window] += dy * W[tap]  # windows overlap: gradients add
    (_, (top, _), (left, _), _) = pads(padding)
    dx = dpadded[:, top : top + x.shape[1], left : left + x.shape[2]]  # what flowed into the zeros is dropped
    return Gradients(dx, dW, dy.sum((0, 1, 2)) if bias else None)


def pads(padding: Padding) -> tuple[tuple[int, int], ...]:
    """Zeros (before, after) for each axis of (N, H, W, C)."""
    (top, bottom), (left, right) = ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding
    return (0, 0), (top, bottom), (left, right), (0, 0)


def output_size(x_shape: tuple, W_shape: tuple, stride: int, padding: Padding) -> tuple[int, int]:
    """(H', W'): how many windows fit."""
    if min(W_shape[:2]) < 1:
        raise ValueError(f"W {W_shape} is a window of {W_shape[0]}x{W_shape[1]}, which sees no pixel")
    padded = [size + sum(pair) for size, pair in zip(x_shape, pads(padding), strict=True)][1:3]
    if stride < 1 or any(size < kernel for size, kernel in zip(padded, W_shape, strict=False)):
        raise ValueError(
            f"a {W_shape[0]}x{W_shape[1]} kernel, stride {stride}, on a padded {padded[0]}x{padded[1]} image"
        )
    return (padded[0] - W_shape[0]) // stride + 1, (padded[1] - W_shape[1]) // stride + 1


def windows(W_shape: tuple, size: tuple[int, int], stride: int) -> Iterator[tuple[tuple[int, int], tuple[slice, ...]]]:
    """For each tap (i, j) of the kernel, the pixels of the padded image that it meets: a strided (H', W') grid."""
    for i in range(W_shape[0]):
        for j in range(W_shape[1]):
            rows, columns = (slice(k, k + stride * (n - 1) + 1, stride) for k, n in zip((i, j), size, strict=True))
            yield (i, j), (slice(None), rows, columns)
