"""Numerical slopes of a loss Σ dy·y, each with an estimate of its error.

Along a line, D(h) = (L(h) − L(−h)) / 2h is off by a multiple of h² and by rounding, which grows as 1/h. Two steps that differ
eightfold tell both (Richardson: the h² cancels in (64 D(h/8) − D(h)) / 63). The step follows the size of the number that
is moved, and gets shorter or longer where the estimate is too coarse. Where forward is analytic code, the complex step
Im L(x + ih) / h has no difference and so no rounding (Squire and Trapp 1998). At a kink the slopes from left and right
differ at every step; a right gradient lies between them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

STEP = 2.0**-17  # of a number's size
SHORTER = 8.0
_BENT = 1e-2
MOST_SHORTER, MOST_LONGER = 7, 4  # times that a step is made shorter, or longer
EPS = float(np.finfo(np.float64).eps)
TOLD = 1e-3  # a slope that is known so well tells something
FINE = 1e-6  # of the gradient's largest element: an error that never matters


@dataclass(frozen=True)
class Slope:
    """A slope, and by how much it may be off; at a kink the slopes between which a gradient may lie."""

    value: float
    error: float
    between: tuple[float, float] | None = None
    beside_kink: bool = False  # the first step crossed a kink, a shorter one did not


class Loss:
    """Σ dy·y of what forward computes now. Differences are taken output by output: what does not move adds no rounding."""

    def __init__(
        self,
        outputs: Callable[[], np.ndarray],
        dy: np.ndarray,
        complex_outputs: Callable[[str, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._outputs, self.dy, self.complex_outputs = outputs, dy, complex_outputs
        self.start = outputs()

    def outputs(self) -> np.ndarray:
        """The outputs now; NaN where forward raises, or gives another number of them."""
        try:
            found = self._outputs()
        except Exception:  # it need not serve every input beside those given
            return np.full_like(self.start, np.nan)
        return found if found.shape == self.start.shape else np.full_like(self.start, np.nan)


class Line:
    """The loss along a direction of one input; ``value`` is moved in place, and put back."""

    def __init__(
        self, loss: Loss, value: np.ndarray, where: Any, direction: Any, step: float, rounding: np.ndarray
    ) -> None:
        self._loss, self._value, self._where, self.direction = loss, value, where, direction
        self._start = value[where].copy()
        self.step, self._rounding = step, rounding
        self._widest = step
        self._moved = np.zeros(rounding.shape, bool)
        self._looks: dict[float, Look] = {}

    def likely_noise(self, step: float) -> float:
        """What rounding may change a slope by: of the outputs that this line moves, and of those whose move it swallows."""
        swallowed = float(np.linalg.norm(self._rounding)) / self._widest
        return self.noise_of_moved(step) + swallowed

    def noise_of_moved(self, step: float) -> float:
        """What rounding of the outputs that this line moves may change a slope by."""
        return float(np.linalg.norm(self._rounding[self._moved])) / step

    def possible_noise(self, step: float) -> float:
        return float(self._rounding[self._moved].sum() / step + self._rounding.sum() / self._widest)

    def outputs(self, step: float) -> tuple[np.ndarray, float]:
        """The outputs after a step, and how far that really went, in floating point."""
        moved = self._start + step * self.direction
        self._value[self._where] = moved
        try:
            found = self._loss.outputs()
        finally:
            self._value[self._where] = self._start
        length = float(moved - self._start) if np.ndim(moved) == 0 else step
        return found, length

    @property
    def least_error(self) -> float:
        """What rounding changes even an exact derivative by: backward computes in floating point too."""
        return float(np.linalg.norm(self._rounding)) * STEP / self.step

    def _both(self, step: float) -> tuple[tuple[np.ndarray, float], tuple[np.ndarray, float]]:
        right, left = self.outputs(step), self.outputs(-step)
        self._moved |= right[0] != left[0]
        self._widest = max(self._widest, step)
        return right, left

    def look(self, step: float) -> Look:
        """What the loss does at this step to both sides; forward runs once for each step."""
        if step not in self._looks:
            self._looks[step] = self._looked(step)
        return self._looks[step]

    def _looked(self, step: float) -> Look:
        (right, far), (left, near) = self._both(step)
        dy, start = self._loss.dy, self._loss.start
        if not far > near:
            return Look(self, step, np.nan, np.inf, (np.nan, np.nan), np.nan)
        from_right, from_left = dy * ((right - start) / far), dy * ((left - start) / near)
        return Look(
            self,
            step,
            float(dy @ (right - left)) / (far - near),
            float(np.abs(from_right - from_left).sum()),
            (float(np.minimum(from_left, from_right).sum()), float(np.maximum(from_left, from_right).sum())),
            float(np.abs(from_right).sum() + np.abs(from_left).sum()),
        )


@dataclass(frozen=True)
class Look:
    """A central difference, and how far the slopes from left and right are apart, output by output."""

    line: Line
    step: float
    slope: float
    gap: float
    between: tuple[float, float]
    size: float  # of the slopes to both sides, output by output

    @property
    def bent(self) -> bool:
        """Whether the slopes from left and right differ by more than curvature does in so short a step."""
        return bool(self.gap > _BENT * self.size + 4 * self.possible_noise)

    @property
    def likely_noise(self) -> float:
        return self.line.likely_noise(self.step)

    @property
    def possible_noise(self) -> float:
        return self.line.possible_noise(self.step)


def measure(line: Line, wanted: float, complex_slope: Callable[[], float | None] | None = None) -> Slope:
    """The slope along a line, with an error below ``wanted`` if that can be had; steps get shorter or longer for it."""
    with np.errstate(all="ignore"):
        slope = _beyond_rounding(line, wanted) or _step_by_step(line, wanted)
    if slope.error > wanted and complex_slope is not None and slope.error <= 0.05 * abs(slope.value):
        exact = complex_slope()
        if exact is not None and abs(exact - slope.value) <= 4 * slope.error:
            return replace(slope, value=exact, error=1e-13 * abs(exact) + line.least_error)
    return slope


def _beyond_rounding(line: Line, wanted: float) -> Slope | None:
    """The slope at the longer steps that rounding asks for; None if rounding is not what limits, or the curve is not smooth.

    The steps between are not tried: rounding is known to shrink as a step grows.
    """
    first = line.look(line.step)
    if first.bent or not first.likely_noise > wanted:
        return None
    narrow, longest = line.step, line.step * SHORTER ** (MOST_LONGER - 1)
    while narrow < longest and line.noise_of_moved(narrow) > wanted / 2:
        narrow *= SHORTER
    look = line.look(narrow)
    slope = _estimate(line.look(narrow * SHORTER), look)
    if slope is None or (slope.error > wanted and not (narrow == longest and look.likely_noise > slope.error / 2)):
        return None
    return slope


def _step_by_step(line: Line, wanted: float) -> Slope:
    step = line.step
    looks = [line.look(step), line.look(step / SHORTER)]
    crossed = bool(looks[1].gap > 0.9 * looks[0].gap + looks[1].possible_noise and np.isfinite(looks[0].gap))
    for _ in range(MOST_SHORTER + MOST_LONGER):
        best = _best(looks)
        if best is not None and best[0].error <= wanted:
            break
        further = _further(looks, best, step)
        if further is None:
            break
        looks.append(line.look(further))
        looks.sort(key=lambda look: -look.step)
    return replace(best[0], beside_kink=crossed) if best is not None else _at_kink(looks)


def _estimate(wide: Look, narrow: Look) -> Slope | None:
    """From two steps, one SHORTER times the other; None where the curve is not smooth: the gap must shrink with the step."""
    if not (np.isfinite(wide.slope) and np.isfinite(narrow.slope)):
        return None
    if not narrow.gap <= wide.gap / 4 + 4 * narrow.possible_noise:
        return None
    error = abs(narrow.slope - wide.slope) / SHORTER + narrow.likely_noise
    return Slope((SHORTER**2 * narrow.slope - wide.slope) / (SHORTER**2 - 1), error)


def _best(looks: list[Look]) -> tuple[Slope, Look] | None:
    """The estimate with the smallest error, and the narrower look that it is from.

    A kink that wider looks see must be seen to be gone: rounding may cover it in a narrow one.
    """
    kink, found = np.inf, []
    for wide, narrow in zip(looks, looks[1:], strict=False):
        if narrow.gap > wide.gap / 2 and narrow.possible_noise < narrow.gap / 8:
            kink = min(kink, narrow.gap)
        slope = _estimate(wide, narrow)
        if slope is not None and narrow.gap + narrow.possible_noise <= kink / 4:
            found.append((slope, narrow))
    return min(found, key=lambda pair: pair[0].error, default=None)


def _further(looks: list[Look], best: tuple[Slope, Look] | None, step: float) -> float | None:
    """The next step to try: longer where rounding is what limits, else shorter; None if there is no use."""
    shortest, longest = looks[-1], looks[0]
    rounding = best is not None and best[1].likely_noise > best[0].error / 2
    if rounding:
        fits = best is not None and best[1] is looks[1] and longest.step < step * SHORTER**MOST_LONGER * 0.9
        return longest.step * SHORTER if fits else None
    drowned = best is None and np.isfinite(shortest.gap) and shortest.possible_noise > shortest.gap
    if drowned or shortest.step < 1.1 * step / SHORTER**MOST_SHORTER:
        return None
    return shortest.step / SHORTER


def _at_kink(looks: list[Look]) -> Slope:
    """The slopes from left and right, at the shortest step whose noise is far below their gap."""
    finite = [look for look in looks if np.isfinite(look.gap) and np.isfinite(look.slope)]
    if not finite:
        return Slope(np.nan, np.inf)
    clear = [look for look in finite if look.possible_noise <= look.gap / 100]
    look = clear[-1] if clear else finite[0]
    low, high = look.between
    slack = look.possible_noise + FINE * (high - low)
    return Slope(look.slope, np.inf, (low - slack, high + slack))


def complex_slope(loss: Loss, name: str, value: np.ndarray, index: tuple[int, ...]) -> float | None:
    """Im L(x + ih) / h, or None where forward does not compute with complex numbers."""
    if loss.complex_outputs is None:
        return None
    moved = value.astype(complex)
    step = 1e-20 * max(abs(float(value[index])), 1.0)
    moved[index] += 1j * step
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that an imaginary part is discarded is but a warning
            outputs = loss.complex_outputs(name, moved)
    except Exception:
        return None
    if outputs.dtype.kind != "c" or outputs.shape != loss.start.shape or not np.isfinite(outputs).all():
        return None
    if np.abs(outputs.real - loss.start).max(initial=0) > 1e-9 * np.abs(loss.start).max(initial=0):
        return None
    return float(loss.dy @ outputs.imag) / step
