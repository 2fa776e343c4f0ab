"""One input's gradient against the slopes along it: which elements are right, wrong, or cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scratchlv.gradcheck.report import Gradient
from scratchlv.gradcheck.slopes import EPS, FINE, STEP, TOLD, Line, Loss, Slope, complex_slope, measure

FLOOR = 1e-4  # of a gradient's largest element: smaller elements are as exact as one of that size
_NEAR = 10.0  # tolerances: by so much the first slope may be off if it agrees
_ROUGH_STEP = 2.0**-40  # far above the rounding of float64, far below that of float32
_WIDE_STEP = 2.0**-13
_TINY_STEP, _COARSE_STEP = (
    2.0**-44,
    2.0**-22,
)  # a smooth curve is straight there, but for rounding in float64, in float32
_FLOAT32 = 2.0**-25
_STAIRS = (
    2.0**-19
)  # far above the width of the stairs that 1 - y has for a y near 1, and below the steps that are taken
_SMOOTH = 5.0  # a third difference of a smooth curve is 8 times as large at twice the step


@dataclass(frozen=True)
class Settings:
    """How closely a gradient is compared, and in how many places."""

    tolerance: float
    max_elements: int
    directions: int
    most_refined: int = 60  # points of an input that are measured with several steps


@dataclass
class Point:
    """An element (or several, or a direction) that is moved: what backward says of it, and the slope there."""

    where: tuple[int, ...] | None
    analytic: float
    line: Line
    slope: Slope
    least: float = 0.0  # what its terms add up to, if they do not cancel
    scale: float = 1.0  # what an error is a share of
    bent: bool = False  # at the first look, the slopes from left and right differed much

    def error(self, tolerance: float) -> float:
        """The error as a share of ``scale``; what the slope itself may be off by does not count beyond the tolerance."""
        error = abs(self.analytic - self.slope.value) / self.scale
        if error <= tolerance:
            return error
        surely = (abs(self.analytic - self.slope.value) - self.slope.error) / self.scale
        return surely if not surely <= tolerance else tolerance

    def is_near(self, tolerance: float) -> bool:
        """Whether the gradient is the first slope, as nearly as that is known; it must be known well."""
        off, allowed = abs(self.analytic - self.slope.value), tolerance * self.scale
        return bool(off <= allowed + min(self.slope.error, _NEAR * allowed))

    def surely_off(self) -> float:
        """By how much it is off, if its slope is; NaN comes first."""
        off = (abs(self.analytic - self.slope.value) - self.slope.error) / self.scale
        return off if np.isfinite(off) else np.inf

    def blurred(self, more: float) -> Point:
        """The point, when its slope may be off by so much more."""
        return replace(self, slope=replace(self.slope, error=self.slope.error + more)) if more else self

    def of(self, gradient: np.ndarray) -> float:
        """What another gradient says of this move."""
        return float(gradient[self.where] if self.where is not None else (gradient * self.line.direction).sum())

    @property
    def told(self) -> bool:
        """Whether the slope is known well enough to say that a gradient is right."""
        largest = max(abs(self.analytic), abs(self.slope.value))
        return bool(self.slope.error <= max(TOLD * largest, FINE * self.scale / FLOOR))


@dataclass
class Measured:
    """What was measured of one input."""

    gradient: Gradient
    numeric: np.ndarray  # the slopes, NaN where none was measured
    outside: list[Point] = field(default_factory=list)  # at a kink, and not between the slopes from left and right
    rough: bool = False  # forward loses digits of this input
    unit: float = 1.0  # the input's size
    blur: float = 0.0  # by how much a slope may be off
    largest: float = 0.0  # of the slopes and gradients that were told
    compared: int = 0  # points whose slope is known, if not well enough to tell
    ties: bool = False  # tied elements have the wrong gradient together
    points: list[Point] = field(default_factory=list)  # whose slopes are known
    judged_again: Callable[[float], Measured] | None = None  # with slopes that may be off by so much more

    @property
    def smooth(self) -> bool:
        """Whether anything but points at kinks was compared."""
        return self.gradient.points > self.gradient.between


def measure_input(
    name: str, analytic: np.ndarray, value: np.ndarray, loss: Loss, rng: np.random.Generator, settings: Settings
) -> Measured:
    """Compare the gradient of ``value`` with the slopes of the loss; ``value`` is moved in place, and put back."""
    return _Input(name, np.asarray(analytic, np.float64), value, loss, rng, settings).measured()


def slopes_of(name: str, value: np.ndarray, loss: Loss, rng: np.random.Generator, settings: Settings) -> list[Point]:
    """The moves of an input whose slopes are known well."""
    points, _ = _Input(name, np.full(value.shape, np.nan), value, loss, rng, settings).refined_points()
    return [point for point in points if point.slope.between is None and point.slope.error <= TOLD * point.scale]


class _Input:
    def __init__(
        self, name: str, analytic: np.ndarray, value: np.ndarray, loss: Loss, rng: Any, settings: Settings
    ) -> None:
        self.name, self.analytic, self.value, self.loss = name, analytic, value, loss
        self.rng, self.settings = rng, settings
        self.typical = float(np.sqrt(np.mean(np.square(value)))) if value.size else 0.0
        self.rough, self.rounding = self._rounding()

    def _direction(self) -> np.ndarray:
        """A random move: every element by a share of its size."""
        return self.rng.standard_normal(self.value.shape) * np.maximum(np.abs(self.value), 0.01 * self.typical or 1.0)

    def _rounding(self) -> tuple[bool, np.ndarray]:
        """Whether forward loses digits on the way from this input, and the rounding of a difference, output by output.

        A tiny step must change an output as a larger one says; if it changes nothing, or much more, there is rounding inside.
        What tiny steps to both sides do not share is rounding as well.
        """
        start = self.loss.start
        line = self._line(..., self._direction(), _WIDE_STEP, np.zeros(start.shape))
        (wide, _), (tiny, _) = line.outputs(_WIDE_STEP), line.outputs(_ROUGH_STEP)
        expected, got = np.abs(wide - start) * (_ROUGH_STEP / _WIDE_STEP), np.abs(tiny - start)
        seen = expected > 64 * EPS * np.abs(start)
        rough = bool((seen & ((got < expected / 50) | (got > expected * 50))).sum() > seen.sum() / 2)
        jumps = self._jumps(_COARSE_STEP if rough else _TINY_STEP)
        least = _FLOAT32 if rough else 4 * EPS
        return rough, np.abs(self.loss.dy) * np.maximum(2 * jumps, least * np.abs(start))

    def _jumps(self, step: float) -> np.ndarray:
        """By how much rounding inside of forward changes each output."""
        start, jumps = self.loss.start, np.zeros(self.loss.start.shape)
        for _ in range(3):
            line = self._line(..., self._direction(), step, jumps)
            (right, _), (left, _) = line.outputs(step), line.outputs(-step)
            jumps = np.fmax(jumps, np.abs(right - 2 * start + left))
        return jumps

    def _stairs(self) -> np.ndarray:
        """Rounding that tiny steps do not see, output by output: the stairs of ``1 - y``, for a y near 1, are wider than those.

        Differences of third order see it. They are taken to both sides of the point: a kink is at one of them, at most.
        """

        def rough(step: float) -> np.ndarray:
            found = np.zeros(self.loss.start.shape)
            for _ in range(3):
                line = self._line(..., self._direction(), step, found)
                sides = [[line.outputs(sign * k * step)[0] for k in (1, 2, 3, 4)] for sign in (1, -1)]
                found = np.fmax(found, np.fmin(*(np.abs(d - 3 * c + 3 * b - a) for a, b, c, d in sides)))
            return found

        wide, narrow = rough(_STAIRS), rough(_STAIRS / 2)
        return np.abs(self.loss.dy) * np.where(wide < _SMOOTH * narrow, np.fmax(wide, narrow), 0.0)

    def _line(self, where: Any, direction: Any, step: float, rounding: np.ndarray) -> Line:
        return Line(self.loss, self.value, where, direction, step, rounding)

    # --- the points ---

    def _points(self) -> Iterator[Point]:
        share = 2.0**-7 if self.rough else STEP  # where rounding is coarse, a longer step errs less
        chosen = np.arange(self.value.size)
        if self.value.size > self.settings.max_elements:
            chosen = np.sort(self.rng.choice(self.value.size, self.settings.max_elements, replace=False))
        for i in chosen:
            where = tuple(int(k) for k in np.unravel_index(i, self.value.shape))
            size = max(abs(float(self.value[where])), 0.1 * self.typical) or 1.0
            line = self._line(where, 1.0, share * size, self.rounding)
            yield self._first(where, float(self.analytic[where]), line)
        for _ in range(self.settings.directions if self.value.size > 1 else 0):
            direction = self._direction()
            direction /= np.linalg.norm(direction)  # the slope is then of the size of the gradient's norm
            size = float(np.linalg.norm(np.maximum(np.abs(self.value), 0.01 * self.typical or 1.0)))
            line = self._line(..., direction, share * size, self.rounding)
            terms = self.analytic * direction
            yield self._first(None, float(terms.sum()), line, float(np.linalg.norm(terms)))

    @staticmethod
    def _first(where: tuple[int, ...] | None, analytic: float, line: Line, least: float = 0.0) -> Point:
        with np.errstate(all="ignore"):
            look = line.look(line.step)
        return Point(where, analytic, line, Slope(look.slope, look.likely_noise), least, bent=look.bent)

    def _scales(self, points: list[Point]) -> float:
        """Give every point what its error is a share of; the gradient's largest element."""
        sizes = [np.nanmax([abs(p.analytic), abs(p.slope.value), p.least, 0.0]) for p in points]
        largest = float(max((size for size in sizes if np.isfinite(size)), default=0.0))
        for point, size in zip(points, sizes, strict=True):
            point.scale = max(float(size) if np.isfinite(size) else 0.0, FLOOR * largest) or 1.0
        return largest

    def _refine(self, points: list[Point]) -> list[Point]:
        """Measure again, and better, where the first slope does not show that the gradient is right; what is left out."""
        tolerance = self.settings.tolerance
        doubtful = [p for p in points if p.bent or not (p.told and p.is_near(tolerance))]
        left_out = []
        wrong = kinks = 0
        for done, point in enumerate(sorted(doubtful, key=Point.surely_off, reverse=True)):
            if wrong >= self.settings.most_refined and not kinks:
                continue  # enough to say that it is wrong: the others keep their first slopes
            if done >= self.settings.most_refined:
                left_out.append(point)
                continue
            where = point.where

            def exactly(where: Any = where) -> float | None:
                return complex_slope(self.loss, self.name, self.value, where)

            exact = exactly if where is not None and not self.rough else None
            point.slope = measure(point.line, tolerance * point.scale / 4, exact)
            kinks += point.slope.between is not None or not np.isfinite(point.slope.value)
            wrong += not point.error(tolerance) <= tolerance
        return left_out

    # --- the verdict ---

    def measured(self) -> Measured:
        return self._judged(*self.refined_points())

    def refined_points(self) -> tuple[list[Point], list[Point]]:
        """The points, measured again where that was due; and those of them that should have been, and were left out."""
        points, left_out = self._measured_points()
        if any(self._is_odd(point) for point in points) and not self.rough:
            stairs = self._stairs()
            if (stairs > 4 * self.rounding).any():
                self.rounding = np.fmax(self.rounding, stairs)
                return self._measured_points()
        return points, left_out

    def _measured_points(self) -> tuple[list[Point], list[Point]]:
        points = list(self._points())
        self._scales(points)
        return points, self._refine(points)

    def _is_odd(self, point: Point) -> bool:
        """Wrong, or as beside a kink: rounding may look like that."""
        kinked = point.bent or point.slope.beside_kink or point.slope.between is not None
        return kinked or point.error(self.settings.tolerance) > self.settings.tolerance

    def _judged(self, points: list[Point], left_out: list[Point], slack: float = 0.0) -> Measured:
        tolerance = self.settings.tolerance
        points, left_out = ([p.blurred(slack) for p in each] for each in (points, left_out))
        largest = self._scales([p for p in points if p.slope.between is None and np.isfinite(p.slope.value)] or points)
        kinked = [p for p in points if p.slope.between is not None]
        compared = [p for p in points if p.slope.between is None and p not in left_out and np.isfinite(p.slope.value)]
        bad = [p for p in compared if not p.error(tolerance) <= tolerance]
        told = [p for p in compared if p.told or p in bad]
        ties = self._tied_wrongly(kinked, largest)
        between = [p for p in kinked if _lies_between(p)]
        return Measured(
            self._with_reason(self._gradient([*told, *ties], kinked, between, len(points)), compared),
            self._numeric(compared),
            [p for p in kinked if p not in between and p.where is not None],
            self.rough,
            self.typical or 1.0,
            max((p.slope.error for p in compared), default=0.0),
            largest if told else 0.0,
            len(compared),
            bool(ties),
            told,
            lambda slack: self._judged(points, left_out, slack),
        )

    def _gradient(self, told: list[Point], kinked: list[Point], between: list[Point], points: int) -> Gradient:
        tolerance = self.settings.tolerance
        worst = max(told, key=lambda p: np.nan_to_num(p.error(tolerance), nan=np.inf), default=None)
        gradient = Gradient(
            f"d{self.name}",
            0.0,
            tolerance,
            points=len(told) + len(between),
            kinks=len(kinked),
            between=len(between),
            unmeasured=max(points - len(told) - len(kinked), 0),
            size=self.value.size,
            beside_kinks=sum(p.slope.beside_kink for p in told),
        )
        if worst is None:
            return gradient
        return replace(
            gradient,
            error=worst.error(tolerance),
            worst=worst.where,
            analytic=worst.analytic,
            numeric=worst.slope.value,
            precision=worst.slope.error,
            errors=self._errors(told),
        )

    def _errors(self, points: list[Point]) -> np.ndarray:
        """The error of each element as a share of the gradient's largest; NaN where none was measured."""
        errors = np.full(self.value.shape, np.nan)
        for point in points:
            if point.where is not None:
                errors[point.where] = point.error(self.settings.tolerance)
        return errors

    def _numeric(self, points: list[Point]) -> np.ndarray:
        numeric = np.full(self.value.shape, np.nan)
        for point in points:
            if point.where is not None and point.told:
                numeric[point.where] = point.slope.value
        return numeric

    def _with_reason(self, gradient: Gradient, compared: list[Point]) -> Gradient:
        """The gradient, with the reason if nothing, or nothing but points at kinks, could be compared."""
        if gradient.points > gradient.between:
            return gradient
        if not self.value.size:
            return gradient.not_told(f"{self.name} is empty: give one that is not")
        if gradient.kinks:
            return gradient.not_told(
                "every point lies on a kink, where the one-sided slopes differ, so nothing was checked: choose other inputs"
            )
        if compared:
            size, hidden = max(abs(p.slope.value) for p in compared), max(p.slope.error for p in compared)
            return gradient.not_told(
                f"too small to measure: the slopes are about {size:.0e}, and rounding may hide {hidden:.0e}; take other "
                "inputs, or leave out what is added to the loss"
            )
        return gradient.not_told(
            f"forward gives NaN or infinity, or raises, beside this {self.name}: choose one inside of its domain"
        )

    # --- ties ---

    def _tied_wrongly(self, kinked: list[Point], largest: float) -> list[Point]:
        """Elements that are equal and at a kink, as ties of a maximum: moved together, the loss may be smooth."""
        groups: dict[float, list[tuple[int, ...]]] = {}
        for point in kinked:
            if point.where is not None:
                groups.setdefault(float(self.value[point.where]), []).append(point.where)
        wrong = []
        for number in groups:
            same = self.value == number
            if same.sum() < 2:
                continue
            step = STEP * max(abs(number), 0.1 * self.typical or 1.0)
            line = self._line(..., same.astype(float), step, self.rounding)
            analytic = float(self.analytic[same].sum())
            scale = max(abs(analytic), largest) or 1.0
            point = Point(
                groups[number][0], analytic, line, measure(line, self.settings.tolerance * scale / 4), scale=scale
            )
            slope = point.slope
            if slope.between is None and not point.error(self.settings.tolerance) <= self.settings.tolerance:
                wrong.append(point)
        return wrong


def _lies_between(point: Point) -> bool:
    low, high = point.slope.between or (np.nan, np.nan)
    return low <= point.analytic <= high
