"""One check of one set of inputs: forward and backward run, their gradients are measured, and judged together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scratchlv.gradcheck.calls import Pair, as_vector, generator
from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence, Rerun
from scratchlv.gradcheck.inputs import Inputs, Refused
from scratchlv.gradcheck.measured import Measured, Point, Settings, measure_input, slopes_of
from scratchlv.gradcheck.progress import Progress
from scratchlv.gradcheck.report import WRONG, Report
from scratchlv.gradcheck.slopes import EPS, FINE, Loss
from scratchlv.gradcheck.trees import first_not_finite, leaves, map_leaves

_WIDE, _TINY = 2.0**-10, 2.0**-38  # of the output gradient: float32 knows nothing of the tiny change
_ROUNDING = 1e-9  # of the largest gradient times its input: an error that backward's own rounding may make
_TINY_SHARE = 1e-2  # of a gradient: an error beyond that is never taken for rounding
_BESIDE = 0.05  # of its size, by which an input is moved off a kink


class Examination:
    """One check of one set of inputs.

    Raises:
        Refused: something keeps the gradients from being compared.
    """

    def __init__(
        self,
        pair: Pair,
        inputs: Inputs,
        settings: Settings,
        seed: int,
        *,
        dy: Any = None,
        beside: bool = True,
        verdicts_alone: bool = False,
    ) -> None:
        self.pair, self.inputs, self.settings, self.seed = pair, inputs, settings, seed
        self.run = pair.first_pass(inputs, dy, seed)
        self.problems = list(self.run.returned.problems)
        self.notes = [
            f"{name} is a number without a gradient: taken for a setting" for name in self.run.returned.settings
        ]
        self.measured: dict[str, Measured] = {}
        self._measure()
        if beside and not verdicts_alone:
            self._look_beside_kinks()
        if not verdicts_alone:
            with np.errstate(all="ignore"):
                self._linearity()
                self._digits()
        self.evidence = self._evidence()

    def _measure(self) -> None:
        inputs, found = self.inputs, self.run.returned.gradients
        settings = self.settings
        runs = sum(2 * min(inputs.arrays[name].size, settings.max_elements) + 8 for name in found)
        progress = Progress(runs)

        def outputs() -> np.ndarray:
            progress.step()
            return self.pair.outputs(inputs)

        loss = Loss(outputs, as_vector(self.run.dy), lambda name, array: self.pair.outputs(inputs, {name: array}))
        rng = generator(self.seed + 1)
        with np.errstate(all="ignore"):
            for name, grad in found.items():
                if (place := first_not_finite(grad)) is not None:
                    where = f", first at {place}" if place else ""
                    self.problems.append(f"d{name} holds NaN or infinity{where}")
                self.measured[name] = measure_input(name, grad, inputs.arrays[name], loss, rng, settings)
        progress.finish()
        self.measured = judged_together(self.measured)

    def _look_beside_kinks(self) -> None:
        """Where kinks keep a gradient from being compared well, the inputs are moved off them, and it is checked there."""
        doubtful = {
            name: each
            for name, each in self.measured.items()
            if each.gradient.verdict != WRONG
            and (each.outside or (each.gradient.kinks and (each.gradient.unmeasured or not each.smooth)))
        }
        if not doubtful:
            return
        moved = self._moved_off()
        for name, each in doubtful.items():
            beside = moved.measured.get(name) if moved else None
            if beside is not None and beside.gradient.verdict == WRONG:
                each.gradient, each.numeric = beside.gradient, beside.numeric
                self.run.returned.gradients[name] = moved.run.returned.gradients[name]  # type: ignore[union-attr]
                self.notes.append(f"d{name} is compared beside the inputs given, where these lie on a kink")

    def _moved_off(self) -> Examination | None:
        rng = generator(self.seed + 2)
        before = {name: array.copy() for name, array in self.inputs.arrays.items()}
        try:
            for name in self.inputs.moved:
                array = self.inputs.arrays[name]
                size = float(np.sqrt(np.mean(np.square(array)))) if array.size else 0.0
                array += _BESIDE * (size or 1.0) * rng.standard_normal(array.shape)
            return Examination(self.pair, self.inputs, self.settings, self.seed, beside=False)
        except Refused:
            return None
        finally:
            for name, array in before.items():
                self.inputs.arrays[name][...] = array

    def _gradients_for(self, dy: Any) -> dict[str, np.ndarray]:
        """By the input's name; empty if backward does not serve this output gradient.

        Forward runs first: who keeps the cache in a layer must find there what belongs to these inputs.
        """
        try:
            _, cache = self.pair.run_forward(self.inputs)
            return self.pair.gradients(dy, cache, self.inputs)
        except Refused:
            return {}

    def _linearity(self) -> None:
        """A backward pass is linear in the output gradient: three times dy gives three times as much, −dy the opposite."""
        upstream = f"three times dy does not give three times as much, consistent with {cause('upstream ignored')}"
        own_sign = f"−dy does not give the opposite, consistent with {cause('own sign')}"
        for factor, says in ((3, upstream), (-1, own_sign)):
            if names := self._not_scaled_by(factor):
                follow = "does" if len(names) == 1 else "do"
                self.problems.append(f"{', '.join(names)} {follow} not follow the output gradient: {says}")
                return

    def _not_scaled_by(self, factor: float) -> list[str]:
        """The gradients, right so far, that are not ``factor`` times as much for ``factor`` times dy."""
        others = self._gradients_for(_scaled(self.run.dy, lambda leaf: factor * leaf))
        found = []
        for name, grad in self.run.returned.gradients.items():
            each = self.measured[name]
            if name not in others or not grad.size or not np.isfinite(grad).all() or each.gradient.verdict == WRONG:
                continue
            if np.abs(others[name] - factor * grad).max() > max(FINE * np.abs(grad).max(), 4 * each.blur):
                found.append(f"d{name}")
        return found

    def _digits(self) -> None:
        """In float32 a tiny change of the output gradient is lost, or makes a jump."""
        rng, found = generator(self.seed + 3), self.run.returned.gradients
        random = _scaled(self.run.dy, lambda leaf: rng.standard_normal(np.shape(leaf)))

        def moved(step: float) -> dict[str, np.ndarray]:
            pairs = iter([*leaves(random)])
            return self._gradients_for(_scaled(self.run.dy, lambda leaf: leaf * (1 + step * next(pairs))))

        wide, tiny = moved(_WIDE), moved(_TINY)
        rough = [
            f"d{name}"
            for name, grad in found.items()
            if grad.dtype.itemsize < 8
            or (
                self._is_more_than_noise(name, grad)
                and name in wide
                and name in tiny
                and _stands_still(grad, wide[name] - grad, tiny[name] - grad)
            )
        ]
        if rough:
            inside = cause("float32", where="backward")
            has = "has" if len(rough) == 1 else "have"
            self.problems.append(
                f"{', '.join(rough)} {has} but seven digits: consistent with {inside}; let dtypes follow the inputs"
            )

    def _is_more_than_noise(self, name: str, grad: np.ndarray) -> bool:
        """Where it is but rounding errors, as of a sum that cancels, its digits say nothing."""
        return bool(np.abs(grad).max(initial=0) > 4 * self.measured[name].blur)

    def _evidence(self) -> Evidence:
        run, inputs = self.run, self.inputs
        return Evidence(
            inputs.flat(),
            dict(run.returned.gradients),
            {name: each.numeric for name, each in self.measured.items()},
            [name for name in inputs.moved if self._is_wrong(name)],
            run.y,
            run.dy,
            run.cache,
            self._gradients_for,
            lambda others: inputs.call(self.pair.forward, others),
        )

    def _is_wrong(self, name: str) -> bool:
        if name not in self.measured:  # its shape is wrong, or it has no gradient
            return name not in self.inputs.optional
        return self.measured[name].gradient.verdict == WRONG and not self.measured[name].ties

    def known_slopes(self) -> dict[str, list[Point]]:
        """By the input's name, also of gradients whose shape is wrong."""
        lacking = [name for name in self.inputs.moved if name not in self.measured and name not in self.inputs.optional]
        found = {name: each.points for name, each in self.measured.items()}
        rng = generator(self.seed + 1)
        return found | slopes_by_name(self.pair, self.inputs, self.run.dy, lacking, self.settings, rng)

    def report_to(self, report: Report) -> None:
        """Fill in the report; of the diagnosis what is certain already."""
        report.diagnosis = [
            f"d{name} is wrong for elements that are equal: consistent with {cause('ties')}"
            for name, each in self.measured.items()
            if each.ties
        ]
        report.gradients = [each.gradient for each in self.measured.values()]
        report.problems += self.problems
        report.notes += self.notes
        say_digits(report, self.measured)
        if not as_vector(self.run.y).size and report.verdict != WRONG:
            report.not_checked = (
                "the output of forward is empty, so there is nothing to compare: give inputs that are not"
            )
        if self.run.returned.whole and report.verdict != WRONG:
            names = ", ".join(self.run.returned.whole)
            report.not_checked = f"{names} has whole numbers, so its gradient is not checked: write 1.0 for 1"


@dataclass(frozen=True)
class Subject:
    """What is checked, and how other inputs for it are made."""

    pair: Pair
    given: dict[str, Any]  # the user's inputs
    make: Callable[[dict[str, Any]], Inputs]
    rerun: Rerun
    seed: int
    remake: Callable[..., dict[str, Any]] | None
    sizes: dict[str, int] | None

    def remade(self) -> list[dict[str, Any]]:
        """Inputs of other sizes, of those that ``remake`` serves."""
        found = []
        for name, length in (self.sizes or {}).items():
            try:
                found.append(self.remake(**{name: length + 1}))  # type: ignore[misc]
            except Exception:  # it may have fixed sizes
                continue
        return [inputs for inputs in found if isinstance(inputs, dict) and inputs.keys() == self.given.keys()]


def slopes_alone(
    pair: Pair, inputs: Inputs, dy: Any, settings: Settings, seed: int
) -> tuple[Evidence, dict[str, list[Point]]]:
    """The evidence where backward has no gradients to compare."""
    y, cache = pair.run_forward(inputs)
    names = [name for name in inputs.moved if name not in inputs.optional]
    points = slopes_by_name(pair, inputs, dy, names, settings, generator(seed + 1))
    evidence = Evidence(inputs.flat(), {}, {}, names, y, dy, cache)
    evidence.forward = lambda others: inputs.call(pair.forward, others)
    evidence.backward = lambda dy: pair.gradients(dy, pair.run_forward(inputs)[1], inputs)
    return evidence, points


def slopes_by_name(
    pair: Pair, inputs: Inputs, dy: Any, names: Collection[str], settings: Settings, rng: np.random.Generator
) -> dict[str, list[Point]]:
    """The slopes of these inputs, where they are known well."""
    loss = Loss(lambda: pair.outputs(inputs), as_vector(dy)) if names else None
    with np.errstate(all="ignore"):
        return {name: slopes_of(name, inputs.arrays[name], loss, rng, settings) for name in names}  # type: ignore[arg-type]


def _scaled(dy: Any, change: Callable[[Any], Any]) -> Any:
    """An output gradient with its floating-point numbers changed."""
    return map_leaves(lambda leaf: change(leaf) if np.asarray(leaf).dtype.kind == "f" else leaf, dy)


def _stands_still(grad: np.ndarray, wide: np.ndarray, tiny: np.ndarray) -> bool:
    """Whether most elements stay, to the last bit, where they should change by many bits."""
    due = np.abs(wide) * (_TINY / _WIDE) > 256 * EPS * np.abs(grad)
    return bool(due.any() and (tiny[due] == 0).mean() > 0.5)


def judged_together(measured: dict[str, Measured]) -> dict[str, Measured]:
    """What the gradients tell of each other: how much of one is rounding.

    Backward's own rounding is not seen in the slopes; of a gradient that is tiny beside the others it may be a good part. And
    a gradient of zero, as of a bias before a softmax, is right if what rounding may hide is nothing beside the others.
    """
    largest = max((each.largest * each.unit for each in measured.values()), default=0.0)
    found = {}
    for name, each in measured.items():
        slack = _ROUNDING * largest / each.unit
        if slack < each.largest:  # else it is rounding altogether
            slack = min(slack, _TINY_SHARE * each.largest)
        if each.gradient.verdict == WRONG and each.judged_again is not None:
            again = each.judged_again(slack)
            each = each if again.gradient.verdict == WRONG else again
        if each.compared and not each.gradient.points and each.blur * each.unit <= FINE * largest:
            each.gradient = replace(each.gradient, reason="", points=each.compared, kinks=0)
        found[name] = each
    return found


def say_digits(report: Report, measured: dict[str, Measured]) -> None:
    """What is to be said of a forward that computes in float32 inside."""
    rough = [name for name, each in measured.items() if each.rough]
    if not rough:
        return
    inside = cause("float32", where="forward")
    said = (
        f"forward loses digits on the way from {', '.join(rough)}: consistent with {inside} (a buffer, a constant, astype), or "
        "with a large number that is added and taken off again; slopes are too rough to tell, so let dtypes follow the inputs"
    )
    if report.verdict == WRONG:
        report.notes.append(said)
    else:
        report.not_checked = said
