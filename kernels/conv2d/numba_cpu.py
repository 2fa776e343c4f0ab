"""Convolution in float32: by Winograd's minimal filtering (``winograd.py``) where it pays, else directly (``direct.py``).

Both write bias, ReLU and pooling while the sums are in the cache, and both take up the gradient in its pooled form: the
activation of full size is never stored. Every number is summed in an order that does not depend on the number of threads.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.simd import wants_nontemporal
from scratchlv.kernels.building_blocks.threads import share
from scratchlv.kernels.building_blocks.windows import Padding, Pair, Windows
from scratchlv.kernels.conv2d import direct, winograd
from scratchlv.kernels.conv2d.reference import Gradients, layout, pooled_size
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.kernels.max_pool2d.numba_cpu import unpool
from scratchlv.kernels.max_pool2d.vectors import CLOSED
from scratchlv.memory import as_contiguous, empty, zeros

_PARTS = 32  # db is summed in so many parts, whatever the number of threads
_NO_ARGMAX = winograd.NO_ARGMAX


class Cache(NamedTuple):
    x: np.ndarray  # (N, H, W, C)
    W: np.ndarray  # (kh, kw, C / groups, M)
    y: np.ndarray | None  # with ReLU and without pooling: it tells where ReLU was open
    argmax: (
        np.ndarray
    )  # (N, H'', W'', M) uint8, with pooling: which place of its window each output came from, or CLOSED
    bias: bool
    windows: Windows
    groups: int
    exact: bool
    need_dx: bool


class Packed(np.ndarray):
    """Weights that keep the forms that the kernels read, each made when it is first needed: for a network that only runs forward.

    To everybody else they are an array; a read-only one, since those forms would not follow a change.
    """

    _forms: dict[tuple, np.ndarray]

    def __array_finalize__(self, source: object) -> None:
        self._forms = {}


def packed(W: np.ndarray) -> Packed:
    """``W`` (kh, kw, C, M), prepared for many calls of :func:`forward`."""
    copied = np.array(W, order="C").view(Packed)
    copied.flags.writeable = False
    return copied


def _form(W: np.ndarray, make: Callable[..., np.ndarray], *settings: Any) -> np.ndarray:
    """``make(W, *settings)``, remembered by packed weights."""
    if not isinstance(W, Packed):
        return make(as_contiguous(W), *settings)
    key = make.__name__, *settings
    if key not in W._forms:
        W._forms[key] = make(as_contiguous(W), *settings)
    return W._forms[key]


def limits(
    x: Any,
    W: Any,
    b: Any = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    relu: bool = False,
    pool: bool = False,
    exact: bool = False,
    need_dx: bool = True,
    train: bool = True,
) -> str | None:
    return float32_only(x, W, b)


def forward(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    relu: bool = False,
    pool: bool = False,
    exact: bool = False,
    need_dx: bool = True,
    train: bool = True,
) -> tuple[np.ndarray, Cache | None]:
    w, M = layout(x.shape, W.shape, stride, padding, dilation, groups), W.shape[3]
    require("these weights", b=(b, (M,)))
    x, bias = as_contiguous(x), np.zeros(M, np.float32) if b is None else as_contiguous(b)
    y = empty((len(x), *(pooled_size(w.grid) if pool else w.grid), M))
    argmax = empty(y.shape, np.uint8) if pool and train else _NO_ARGMAX
    floor = 0 if relu else np.nan
    if y.size == 0:
        pass
    elif by_winograd(W.shape, w, groups, exact):
        winograd.convolve(x, _form(W, winograd.transform_weights), bias, y, w.grid, floor, argmax)
    else:
        panels = _form(W, direct.pack_windows, groups)
        direct.convolve(x, panels, direct.geometry_of(w), bias, y, w.grid, floor, argmax, groups=groups)
    if not train:
        return y, None
    kept = y if relu and not pool else None
    return y, Cache(x, as_contiguous(W), kept, argmax, b is not None, w, groups, exact, need_dx)


def backward(dy: np.ndarray, cache: Cache) -> Gradients:
    x, W, y, argmax, bias, w, groups, exact, need_dx = cache
    size = w.grid
    require("x and W", dy=(dy, (len(x), *(pooled_size(size) if argmax.shape[1] else size), W.shape[3])))
    dy = as_contiguous(dy)
    if y is not None:
        dy = _where_open(dy, y)
    db = _bias_gradient(dy, argmax) if bias else None
    if x.size == 0 or dy.size == 0:
        return Gradients(zeros(x.shape) if need_dx else None, zeros(W.shape), db)
    if by_winograd(W.shape, w, groups, exact):
        dW = winograd.weight_gradient(x, dy, size, argmax)
        dx = _winograd_input_gradient(dy, argmax, cache) if need_dx else None
    else:
        dW = direct.weight_gradient(x, dy, direct.geometry_of(w), argmax, groups)
        dx = _direct_input_gradient(dy, argmax, cache) if need_dx else None
    return Gradients(dx, dW, db)


def by_winograd(W_shape: tuple, w: Windows, groups: int, exact: bool) -> bool:
    """Whether a call is served by Winograd's filtering: 3x3 windows, with channels and pixels enough that it pays."""
    C, M = W_shape[2:]
    fits = w.size == (3, 3) and w.stride == w.dilation == (1, 1) and w.padding == ((1, 1), (1, 1)) and groups == 1
    return fits and not exact and min(C, M) >= winograd.FEWEST_CHANNELS


def _winograd_input_gradient(dy: np.ndarray, argmax: np.ndarray, cache: Cache) -> np.ndarray:
    """The convolution of dy with the window flipped, inputs and outputs exchanged."""
    x, W = cache.x, cache.W
    dx = empty(x.shape)
    no_bias = np.zeros(x.shape[3], np.float32)
    U = winograd.transform_weights(W, flipped=True)
    winograd.convolve(dy, U, no_bias, dx, x.shape[1:3], x_argmax=argmax)
    return dx


def _direct_input_gradient(dy: np.ndarray, argmax: np.ndarray, cache: Cache) -> np.ndarray:
    """The same, class of pixels by class: those that the same taps see are a convolution of dy of their own, without a stride."""
    x, W, w, groups = cache.x, cache.W, cache.windows, cache.groups
    if argmax.size:
        dz = empty((len(dy), *w.grid, dy.shape[3]))
        unpool(dy, argmax, dz, wants_nontemporal(dz))
        dy = dz
    dx = empty(x.shape)
    no_bias = np.zeros(x.shape[3], np.float32)
    gather = w.stride == (1, 1)
    for down in _classes(w, 0):
        for across in _classes(w, 1):
            taps = [i * w.size[1] + j for i in down.taps for j in across.taps]
            panels = direct.pack_flipped(W, taps, groups)
            windows = len(down.taps), len(across.taps), 1, 1, down.apart, across.apart, down.before, across.before
            size, places = (down.pixels, across.pixels), (down.first, across.first, *w.stride)
            direct.convolve(
                dy,
                panels,
                windows,
                no_bias,
                dx,
                size,
                np.nan,
                _NO_ARGMAX,
                groups=groups,
                places=places,
                gather=gather,
            )
    return dx


class _Class(NamedTuple):
    """Of the rows of x (or columns), those that the same taps see."""

    first: int
    pixels: int  # the stride apart
    taps: list[int]  # there may be none
    apart: int  # how far apart the rows of y are to which two neighbours of these taps lead: a dilation
    before: int  # how many places before the first row of y the first of these windows begins


def _classes(w: Windows, axis: int) -> Iterator[_Class]:
    """Row u is seen through tap i by the row (u + p - i d) / s of y, if that is whole."""
    n, k, s, d, p = w.picture[axis], w.size[axis], w.stride[axis], w.dilation[axis], w.corner[axis]
    for first in range(min(s, n)):
        taps = [
            i for i in range(k) if (first + p - i * d) % s == 0
        ]  # every (s / gcd(s, d))th from the first of them on
        before = (taps[-1] * d - first - p) // s if taps else 0
        yield _Class(first, -(-(n - first) // s), taps, d // math.gcd(s, d), before)


def _where_open(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The gradient before ReLU."""
    dz = empty(dy.shape)
    _mask(dy.reshape(-1), y.reshape(-1), dz.reshape(-1))
    return dz


@kernel(parallel=True)
def _mask(dy, y, dz):
    for i in prange(dy.size):
        dz[i] = np.float32(0) if y[i] <= np.float32(0) else dy[i]


def _bias_gradient(dy: np.ndarray, argmax: np.ndarray) -> np.ndarray:
    """Σ dy over all pixels, where ReLU let something through."""
    M = dy.shape[3]
    parts = np.zeros((_PARTS, M), np.float32)
    if dy.size:
        _sum_pixels(dy.reshape(-1, M), argmax.reshape(-1, M), parts)
    return parts.sum(0)


@kernel(parallel=True)
def _sum_pixels(dy, argmax, parts):
    for part in prange(parts.shape[0]):
        first, last = share(dy.shape[0], part, parts.shape[0])
        sums = parts[part]
        for p in range(first, last):
            if argmax.size:
                for m in range(sums.size):
                    sums[m] += np.float32(0) if argmax[p, m] == CLOSED else dy[p, m]
            else:
                for m in range(sums.size):
                    sums[m] += dy[p, m]
