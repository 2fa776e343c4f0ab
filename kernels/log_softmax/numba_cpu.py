"""The logarithm of a softmax in float32: a row is read and written while it is in cache."""

from typing import NamedTuple

import numpy as np
from numba import prange

from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.fast_math import FLAGS, exp_nonpositive, total
from scratchlv.kernels.building_blocks.shapes import require
from scratchlv.kernels.building_blocks.threads import n_threads, share
from scratchlv.kernels.matmul.numba_cpu import float32_only
from scratchlv.kernels.softmax_cross_entropy.numba_cpu import largest
from scratchlv.kernels.softmax_cross_entropy.reference import check_classes
from scratchlv.memory import as_contiguous, empty

_WORTH_THREADS = 16_384  # numbers; waking threads for fewer takes longer than they do


class Cache(NamedTuple):
    y: np.ndarray  # (..., V)


def limits(logits: np.ndarray, *, train: bool = True) -> str | None:
    return float32_only(logits)


def forward(logits: np.ndarray, *, train: bool = True) -> tuple[np.ndarray, Cache | None]:
    check_classes(logits)
    y = empty(logits.shape)
    z = _rows(logits)
    threads = _threads(z)
    if threads == 1:
        _of_rows(z, _rows(y), 0, len(z))
    else:
        _forward(z, _rows(y), threads)
    return y, Cache(y) if train else None


def backward(dy: np.ndarray, cache: Cache) -> tuple[np.ndarray]:
    y = cache.y
    require("logits", dy=(dy, y.shape))
    dlogits = empty(y.shape)
    rows = _rows(dy)
    _backward(rows, _rows(y), _rows(dlogits), _threads(rows))
    return (dlogits,)


def _rows(x: np.ndarray) -> np.ndarray:
    """(..., V) as (rows, V)."""
    return as_contiguous(x).reshape(-1, x.shape[-1])


def _threads(rows: np.ndarray) -> int:
    if rows.size < _WORTH_THREADS:
        return 1
    return max(1, min(n_threads(), len(rows)))


@kernel(parallel=True, fastmath=FLAGS)
def _forward(z, y, threads):
    for thread in prange(threads):
        first, last = share(len(z), thread, threads)
        _of_rows(z, y, first, last)


@kernel(fastmath=FLAGS)
def _of_rows(z, y, first, last):
    for n in range(first, last):
        row, log_p = z[n], y[n]
        top = largest(row)
        for v in range(row.size):
            log_p[v] = exp_nonpositive(row[v] - top)
        log_sum = np.float32(np.log(total(log_p)))
        for v in range(row.size):
            log_p[v] = (row[v] - top) - log_sum


@kernel(parallel=True, fastmath=FLAGS)
def _backward(dy, y, dz, threads):
    for thread in prange(threads):
        first, last = share(len(y), thread, threads)
        for n in range(first, last):
            d, log_p, row = dy[n], y[n], dz[n]
            s = np.float32(total(d))
            for v in range(row.size):
                row[v] = d[v] - exp_nonpositive(log_p[v]) * s
