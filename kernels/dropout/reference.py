"""Dropout, the specification: y = x · keep / (1 − p), where keep is a function of the seed and the place alone."""

import math
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array

GOLDEN = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio: the stride of splitmix64
MASK64 = 2**64 - 1


class Window(NamedTuple):
    """x (..., N, D) is a part of a larger array (..., ``rows``, D): its rows from number ``first`` on."""

    first: int
    rows: int


class Cache(NamedTuple):
    key: int
    p: float
    window: Window | None


def forward(
    x: Array, *, p: float, seed: int | tuple[int, ...], window: tuple[int, int] | None = None, train: bool = True
) -> tuple[Array, Cache | None]:
    """Zero each value of ``x`` (any shape) with probability ``p`` in [0, 1), multiply the others by 1 / (1 − p).

    The same seed drops the same places. A tuple, such as ``(seed, step, layer)``, is one seed too: a training loop
    needs no generator to carry along. With ``train=False`` nothing is dropped: y is x.

    ``window`` is (first, rows): x (..., N, D) is rows ``first`` to ``first + N`` of an array (..., rows, D), and of that it
    drops what would be dropped of the whole. So processes that share a batch drop what one alone would.

    Raises:
        ValueError: ``p`` is not in [0, 1), or the window does not hold x.
    """
    check_probability(p)
    window = check_window(x.shape, window)
    if not train:
        return x, None
    cache = Cache(fold(seed), p, window)
    return _drop(x, cache), cache


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx``: the places that were dropped receive nothing. The mask is drawn again and was never stored."""
    return (_drop(dy, cache),)


def _drop(x: Array, cache: Cache) -> Array:
    key, p, window = cache
    scale = x.dtype.type(1 / (1 - p))
    return x * np.where(keep(x, key, p, window), scale, x.dtype.type(0))  # a product, so that NaN is not hidden


def keep(x: Array, key: int, p: float, window: Window | None = None) -> Array:
    """Which values of x stay, bool of its shape: 32 random bits of the place's number, compared with p."""
    runs, run, stride, first = layout(x.shape, window)
    within = np.arange(1, run + 1, dtype=np.uint64, like=x)
    place = (np.arange(runs, dtype=np.uint64, like=x)[:, None] * np.uint64(stride) + within).reshape(x.shape)
    place = place + np.uint64(first)
    return (mix(np.uint64(key) + place * np.uint64(GOLDEN)) >> np.uint64(32)) >= np.uint64(threshold(p))


def mix(z: Array) -> Array:
    """The output function of splitmix64 (Steele, Lea and Flood 2014): a bijection that leaves no bit in its place."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fold(seed: int | tuple[int, ...]) -> int:
    """One 64-bit key for a seed, or for several: each is mixed in, so (1, 2) and (2, 1) differ."""
    key = 0
    for part in seed if isinstance(seed, tuple) else (seed,):
        key = int(mix(np.array([(key + GOLDEN + int(part)) & MASK64], np.uint64))[0])
    return key


def threshold(p: float) -> int:
    """A value is dropped where its 32 random bits are below this."""
    return round(p * 2**32)


def layout(shape: tuple[int, ...], window: Window | None) -> tuple[int, int, int, int]:
    """How the places of x are numbered: ``runs`` of ``run`` values in a row, ``stride`` from one to the next, from ``first``."""
    if window is None:
        size = math.prod(shape)
        return 1, size, size, 0
    N, D = shape[-2:]
    return math.prod(shape[:-2]), N * D, window.rows * D, window.first * D


def check_window(shape: tuple[int, ...], window: tuple[int, int] | None) -> Window | None:
    if window is None:
        return None
    first, rows = window
    if len(shape) < 2 or not 0 <= first <= first + shape[-2] <= rows:
        raise ValueError(f"window={tuple(window)}: x {shape} is not rows {first} … of an array of {rows} rows")
    return Window(first, rows)


def check_probability(p: float) -> None:
    if not 0 <= p < 1:
        raise ValueError(f"p is the probability to drop a value and must be in [0, 1); it is {p}")
