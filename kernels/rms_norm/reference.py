"""Root mean square normalisation, the specification: y = x / sqrt(mean x² + eps) of each picture."""

import math
from typing import NamedTuple

import numpy as np

from scratchlv.arrays import Array

EPS = 1e-12


class Cache(NamedTuple):
    y: Array  # (N, ..., C)
    rms: Array  # (N, 1 ..., 1)


def forward(x: Array, *, eps: float = EPS, out: Array | None = None, train: bool = True) -> tuple[Array, Cache | None]:
    """``y = x / sqrt(mean x² + eps)``, the mean over all but the first axis of ``x`` (N, ..., C) (Zhang and Sennrich 2019).

    Where ``out`` (N, ..., C' ≥ C) is given, its first C channels become y.
    """
    check_out(x, out)
    rms = np.sqrt(_mean(x * x) + x.dtype.type(eps))  # (N, 1 ..., 1)
    y = x / rms
    if out is not None:
        out[..., : x.shape[-1]] = y
        y = out[..., : x.shape[-1]]
    return y, Cache(y, rms) if train else None


def backward(dy: Array, cache: Cache) -> tuple[Array]:
    """``dx = (dy - y mean(dy y)) / rms``: what of dy lies along y has no effect on it."""
    y, rms = cache
    return ((dy - y * _mean(dy * y)) / rms,)


def _mean(x: Array) -> Array:
    """Over all but the first axis; of nothing, 0."""
    return x.sum(tuple(range(1, x.ndim)), keepdims=True) / max(1, math.prod(x.shape[1:]))  # (N, 1 ..., 1)


def check_out(x: Array, out: Array | None) -> None:
    if out is not None and (out.shape[:-1] != x.shape[:-1] or out.shape[-1] < x.shape[-1]):
        raise ValueError(f"out has the shape {out.shape}, into which x {x.shape} does not go")
