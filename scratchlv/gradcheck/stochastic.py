"""Stochastic rounding: how much a computation must lose in float32, on any machine and with any BLAS.

A :class:`StochasticArray` is a float32 array whose results are computed in float64 and rounded to float32 at random: to the
number above or the one below, the nearer the likelier (Croci et al. 2022). What float32 holds exactly stays exact. Of each
sum the error is drawn that adding its terms one after another makes. ``docs/numerics.md`` has the argument.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

UNIT_ROUNDOFF = 2.0**-24
ELEMENTARY_ULPS = 2  # what CUDA's manual grants exp, log and tanh; NumPy's err as much on some processors
_ELEMENTARY = {np.exp, np.expm1, np.log, np.log1p, np.tanh, np.sin, np.cos, np.power}
_PRODUCTS = {np.dot, np.vdot, np.inner, np.tensordot, np.einsum}  # sums of products that are no ufuncs
_DROPPED_BITS = 29  # of a float64, for a float32


class StochasticArray(np.ndarray):
    """A float32 array whose results are rounded at random; made by :func:`stochastic`.

    NumPy's functions that are neither ufuncs, nor made of them, nor sums of products (those of ``numpy.linalg``, say) round
    in their own way.
    """

    rng: np.random.Generator

    def __array_finalize__(self, source: Any) -> None:
        self.rng = getattr(source, "rng", None)  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **settings: Any) -> Any:
        rng = next(x.rng for x in (*inputs, *(out or ())) if isinstance(x, StochasticArray))
        plain = [_plain(x) for x in inputs]
        if method == "at" and ufunc is np.add:
            target, places, values = plain
            return _add_at(target, places, values, rng)
        if method not in ("__call__", "reduce", "outer") or (ufunc.signature and ufunc is not np.matmul):
            return NotImplemented
        wide = [_wide(x) for x in plain]
        settings = {name: _plain(value) for name, value in settings.items()}
        result = getattr(ufunc, method)(*wide, **settings)
        if np.result_type(*plain) == np.float32 and result.dtype == np.float64:
            result = _round(result + _error(ufunc, method, wide, settings, result, rng), rng)
        if out is None:
            return _wrap(result, rng)
        _plain(out[0])[...] = result
        return out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in _PRODUCTS:
            return _wrap(super().__array_function__(function, types, args, kwargs), self.rng)

        def of(change: Any) -> Any:
            changed = (change(_wide(_plain(x))) if isinstance(x, np.ndarray) else x for x in args)
            return np.asarray(function(*changed, **kwargs))

        result = of(np.asarray)
        quantum = math.prod(_quantum(_plain(x)) for x in args if isinstance(x, np.ndarray))
        error = _sum_error(result, of(np.square), of(np.ones_like), quantum, self.rng, products=True)
        return _wrap(_round(result + error, self.rng), self.rng)


def stochastic(value: Any, rng: np.random.Generator) -> Any:
    """Arrays and numbers of floats as :class:`StochasticArray`, rounded by ``rng``; anything else as it is."""
    if isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f":
        return _wrap(np.array(value, np.float32), rng)
    return value


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, StochasticArray) else x


def _wide(x: Any) -> Any:
    return x.astype(np.float64) if isinstance(x, np.ndarray | np.floating) and x.dtype == np.float32 else x


def _wrap(result: Any, rng: np.random.Generator) -> Any:
    if isinstance(result, list | tuple):
        return type(result)(_wrap(part, rng) for part in result)
    if isinstance(result, np.ndarray | np.floating) and result.dtype == np.float32:
        result = np.asarray(result).view(StochasticArray)
        result.rng = rng
    return result


def _round(x: Any, rng: np.random.Generator) -> np.ndarray:
    """To one of the two float32 neighbours: a random number is added to the bits that are dropped, and may carry."""
    x = np.asarray(x)
    random = rng.integers(0, 2**32, x.shape, np.uint32) >> (32 - _DROPPED_BITS)
    bits = x.reshape(-1).view(np.int64).reshape(x.shape) + random
    kept = bits >> _DROPPED_BITS << _DROPPED_BITS
    return kept.reshape(-1).view(np.float64).reshape(x.shape).astype(np.float32)


def _error(ufunc: Any, method: str, inputs: Any, settings: Any, result: Any, rng: np.random.Generator) -> Any:
    """What a ufunc's result is off by before it is rounded; ``inputs`` and ``result`` are float64."""
    if ufunc is np.matmul:
        a, b = inputs
        quantum = _quantum(a) * _quantum(b)
        return _sum_error(result, np.square(a) @ np.square(b), a.shape[-1], quantum, rng, products=True)
    if ufunc is np.add and method == "reduce":
        (terms,) = inputs
        squares = np.add.reduce(np.square(terms), **settings)
        return _sum_error(result, squares, terms.size // max(result.size, 1), _quantum(terms), rng)
    if ufunc in _ELEMENTARY:
        return _elementary_error(result, rng)
    return 0.0


def _elementary_error(value: Any, rng: np.random.Generator) -> Any:
    """Up to ``ELEMENTARY_ULPS``, but none where float32 holds the value all but exactly, as of e⁰ or tanh 20."""
    nearest = value.astype(np.float32)
    ulp = np.spacing(np.abs(nearest)).astype(np.float64)
    missed = np.abs(value - nearest) > 2.0**-40 * np.abs(value)
    return np.where(missed, ELEMENTARY_ULPS * ulp * rng.uniform(-1, 1, value.shape), 0)


def _sum_error(
    total: Any, squares: Any, K: Any, quantum: float, rng: np.random.Generator, products: bool = False
) -> Any:
    """The error of ``K`` terms that are added one after another in a random order, but for the last rounding.

    ``total`` is their sum and ``squares`` that of their squares; ``products``: they are rounded products. A partial sum of j
    terms has on average, over all orders, the square j/K squares + j (j - 1) / (K (K - 1)) (total² - squares), and is rounded
    with a variance of u²/3 of it; here these are added up for j = 2 ... K - 1. All terms are multiples of ``quantum``: where
    float32 holds every multiple up to the largest sum there can be, there is no error.
    """
    K = np.maximum(K, 1)
    variance = squares * ((K + 1) / 6 - 1 / K + products) + total**2 * ((K - 2) / 3)
    exact = np.sqrt(K * squares) <= quantum / UNIT_ROUNDOFF  # Σ |term| is no larger than this root
    deviation = UNIT_ROUNDOFF * np.sqrt(np.where(exact, 0, np.maximum(variance, 0)) / 3)
    return deviation * rng.standard_normal(total.shape)


def _quantum(x: Any) -> float:
    """The largest power of two of which all numbers are multiples; infinite if there are but zeros."""
    mantissa, exponent = np.frexp(x[x != 0].astype(np.float64))
    digits = np.ldexp(mantissa, 24).astype(np.int64)  # whole, of float32
    return float(np.ldexp((digits & -digits).astype(np.float64), exponent - 24).min(initial=np.inf))


def _add_at(target: Any, places: Any, values: Any, rng: np.random.Generator) -> None:
    total, values = target.astype(np.float64), np.asarray(values, np.float64)
    squares, terms = total**2, (total != 0).astype(np.float64)
    quantum = min(_quantum(total), _quantum(values))
    for sums, each in ((total, values), (squares, values**2), (terms, np.ones_like(values))):
        np.add.at(sums, places, each)
    target[...] = _round(total + _sum_error(total, squares, terms, quantum, rng), rng)
