"""Convolution, the specification: y[n,h,w,:] = b + Σ_ij x[n, hs+i-p, ws+j-p, :] W[i,j]; ReLU and pooling may follow."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from scratchlv.arrays import Array
from scratchlv.kernels.max_pool2d import reference as max_pool2d
from scratchlv.kernels.relu import reference as relu_

Padding = int | tuple[tuple[int, int], tuple[int, int]]  # all around, or ((top, bottom), (left, right))


class Cache(NamedTuple):
    x: Array  # (N, H, W, C)
    W: Array  # (kh, kw, C / groups, M)
    bias: bool
    stride: int
    padding: Padding
    groups: int
    need_dx: bool
    relu: Any  # caches of what followed, or None
    pool: Any


class Gradients(NamedTuple):
    dx: Array | None  # (N, H, W, C), None where nobody wants it
    dW: Array  # (kh, kw, C / groups, M)
    db: Array | None  # (M,), None where there is no bias


def forward(
    x: Array,
    W: Array,
    b: Array | None = None,
    *,
    stride: int = 1,
    padding: Padding = 0,
    groups: int = 1,
    relu: bool = False,
    pool: bool = False,
    exact: bool = False,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[Array, Cache | None]:
    """Convolve ``x`` (N, H, W, C) with ``W`` (kh, kw, C / groups, M); ``y`` is (N, H', W', M).

    ``padding`` zeros are put around the picture. With ``groups``, the channels are parted, and each part of the outputs
    sees only its part of the inputs. ``need_dx=False`` says that nobody wants ``dx`` (the first layer): it is then None.

    With ``relu``, and ``pool`` (2x2 windows, max), y is what these make of it: one call for the three, since a variant can
    do them in one sweep. ``exact`` asks for the plain sums that stand here; without it a variant may take a way of fewer
    multiplications and more rounding.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    H_out, W_out = output_size(x.shape, W.shape, stride, padding, groups)
    padded = np.pad(x, ((0, 0), *both_sides(padding), (0, 0)))
    y = _zeros_like(x, (x.shape[0], H_out, W_out, W.shape[3]))
    for i, j, window in _windows(padded, W.shape, H_out, W_out, stride):
        for inputs, outputs in _parts(x.shape[3], W.shape[3], groups):
            y[..., outputs] += window[..., inputs] @ W[i, j, :, outputs]  # (N, H', W', M / groups)
    if b is not None:
        y += b
    relu_cache = pool_cache = None
    if relu:
        y, relu_cache = relu_.forward(y, train=train)
    if pool:
        y, pool_cache = max_pool2d.forward(y, size=2, train=train)
    return y, Cache(x, W, b is not None, stride, padding, groups, need_dx, relu_cache, pool_cache) if train else None


def backward(dy: Array, cache: Cache) -> Gradients:
    """``dx, dW, db`` from ``dy``, which is like y."""
    x, W, bias, stride, padding, groups, need_dx, relu_cache, pool_cache = cache
    if pool_cache is not None:
        (dy,) = max_pool2d.backward(dy, pool_cache)
    if relu_cache is not None:
        (dy,) = relu_.backward(dy, relu_cache)
    (top, bottom), (left, right) = both_sides(padding)
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    dpadded, dW = _zeros_like(x, padded.shape), _zeros_like(W, W.shape)
    _, H_out, W_out, _ = dy.shape
    for (i, j, window), (_, _, dwindow) in zip(
        _windows(padded, W.shape, H_out, W_out, stride),
        _windows(dpadded, W.shape, H_out, W_out, stride),
        strict=True,
    ):
        for inputs, outputs in _parts(x.shape[3], W.shape[3], groups):
            # every pixel of every picture used W[i, j]; a pixel of x was used by every window that covers it
            dW[i, j, :, outputs] = np.tensordot(window[..., inputs], dy[..., outputs], axes=((0, 1, 2), (0, 1, 2)))
            dwindow[..., inputs] += dy[..., outputs] @ W[i, j, :, outputs].T
    dx = dpadded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]
    return Gradients(dx if need_dx else None, dW, dy.sum((0, 1, 2)) if bias else None)


def both_sides(padding: Padding) -> tuple[tuple[int, int], tuple[int, int]]:
    """``((top, bottom), (left, right))``."""
    return ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding


def output_size(x_shape: tuple, W_shape: tuple, stride: int, padding: Padding, groups: int) -> tuple[int, int]:
    """Height and width of the output; ValueError when there is none."""
    (top, bottom), (left, right) = both_sides(padding)
    kh, kw, per_group, M = W_shape
    if min(kh, kw) < 1:
        raise ValueError(f"W {W_shape} is a window of {kh}x{kw}, which sees no pixel")
    if x_shape[3] != per_group * groups or M % groups:
        raise ValueError(f"x has {x_shape[3]} channels; W {W_shape} in {groups} group(s) takes {per_group * groups}")
    H_out, W_out = (x_shape[1] + top + bottom - kh) // stride + 1, (x_shape[2] + left + right - kw) // stride + 1
    if H_out < 1 or W_out < 1:
        raise ValueError(f"a {kh}x{kw} window does not fit into {x_shape[1]}x{x_shape[2]} with padding {padding}")
    return H_out, W_out


def pooled_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width after pooling; ValueError when no window fits."""
    return max_pool2d.output_shape((1, *size, 1), 2, 2)[1:3]


def _windows(padded: Array, W_shape: tuple, H_out: int, W_out: int, stride: int) -> Iterator[tuple[int, int, Array]]:
    """For each tap (i, j) of the window, the pixels that it meets: a view (N, H', W', C)."""
    for i in range(W_shape[0]):
        for j in range(W_shape[1]):
            yield i, j, padded[:, i : i + stride * (H_out - 1) + 1 : stride, j : j + stride * (W_out - 1) + 1 : stride]


def _parts(C: int, M: int, groups: int) -> Iterator[tuple[slice, slice]]:
    for g in range(groups):
        yield (
            slice(g * C // groups, (g + 1) * C // groups),
            slice(g * M // groups, (g + 1) * M // groups),
        )


def _zeros_like(x: Array, shape: tuple) -> Array:
    return np.zeros_like(x, shape=shape)
