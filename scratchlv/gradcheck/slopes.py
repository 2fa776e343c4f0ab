"""Numerical slopes of a loss: central differences, and whether a point lies at a kink."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scratchlv.gradcheck.report import Gradient

STEP = 2.0**-17  # a power of two, so that x + STEP is exact
NOISE = 5e-10  # rounding error of a slope, as a share of the sum of |dy y|


def measure(
    name: str,
    analytic: np.ndarray,
    value: np.ndarray,
    loss: Callable[[], float],
    noise: float,
    rng: np.random.Generator,
    tolerance: float,
    max_elements: int,
    directions: int,
) -> tuple[Gradient, np.ndarray]:
    """Compare a gradient with the slopes of the loss; also the slopes, NaN where none was measured.

    ``value`` is moved in place, and put back.
    """
    start = value.copy()
    chosen = np.arange(value.size)
    if value.size > max_elements:
        chosen = np.sort(rng.choice(value.size, max_elements, replace=False))
    slopes: list[tuple[tuple[int, ...] | None, float, float, Callable[[float], float]]] = []

    def along(direction: np.ndarray) -> Callable[[float], float]:
        def loss_at(step: float) -> float:
            value[...] = start + step * direction
            result = loss()
            value[...] = start
            return result

        return loss_at

    def along_element(index: tuple[int, ...]) -> Callable[[float], float]:
        def loss_at(step: float) -> float:
            value[index] = start[index] + step
            result = loss()
            value[index] = start[index]
            return result

        return loss_at

    for i in chosen:
        index = tuple(int(k) for k in np.unravel_index(i, value.shape))
        loss_at = along_element(index)
        slopes.append((index, float(analytic[index]), _central(loss_at, STEP), loss_at))
    for _ in range(directions if value.size > 1 else 0):
        direction = rng.standard_normal(value.shape)
        direction /= np.linalg.norm(direction)  # the slope is then of the size of the gradient's norm
        loss_at = along(direction)
        slopes.append((None, float((analytic * direction).sum()), _central(loss_at, STEP), loss_at))

    largest = max((max(abs(a), abs(n)) for _, a, n, _ in slopes), default=0.0)
    scale = max(largest, noise / tolerance) or 1.0
    numeric = np.full(value.shape, np.nan)
    worst, points, kinks = Gradient(name, 0.0, tolerance), 0, 0
    for where, a, n, loss_at in slopes:
        error = abs(a - n) / scale
        if not error <= tolerance:
            refined = _slope_unless_kink(loss_at, noise)
            if refined is None:
                kinks += 1
                continue
            n, error = refined, abs(a - refined) / scale
        points += 1
        if where is not None:
            numeric[where] = n
        if not error <= worst.error:  # NaN too
            worst = Gradient(name, error, tolerance, where, a, n)
            if np.isnan(error):
                break
    return Gradient(name, worst.error, tolerance, worst.worst, worst.analytic, worst.numeric, points, kinks), numeric


def _central(loss_at: Callable[[float], float], step: float) -> float:
    return (loss_at(step) - loss_at(-step)) / (2 * step)


def _slope_unless_kink(loss_at: Callable[[float], float], noise: float) -> float | None:
    """The slope, or None at a kink: there the one-sided slopes still differ as much when the step is shortened."""
    step, shorter = STEP, STEP / 8

    def gap(step: float) -> float:
        right, left = (loss_at(step) - loss_at(0)) / step, (loss_at(0) - loss_at(-step)) / step
        return abs(right - left)

    wide, narrow = gap(step), gap(shorter)  # on a smooth curve the gap shrinks with the step
    if narrow > wide / 2 + 20 * noise:
        return None
    return _central(loss_at, shorter)
