"""What the value of an expression would have to be for every gradient to be right, and whether there is such a value.

The gradients are linear in most of what backward computes on its way, so a nudge of each element of an expression's
values tells how the gradients depend on it; least squares tell the rest. An expression with no such value is innocent.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.repair.apart import Stopwatch
from scratchlv.gradcheck.repair.facts import VISITS, Facts, built_in, observe, put
from scratchlv.gradcheck.repair.source import Function, replaced

ELEMENTS = 300  # of an expression, over all visits, that are nudged
RIGHT = 1e-5  # of a gradient's largest element
STEP = 1e-3
_ADD = "_scratchlv_add"


class Overspent(Exception):
    """The time for looking is used up."""


@dataclass
class Need:
    """How the gradients depend on the values at all visits, and how far they are from right: ``jacobian @ change = lack``."""

    values: list[np.ndarray]  # by visit
    jacobian: np.ndarray  # (gradients, elements)
    lack: np.ndarray
    change: np.ndarray  # of the elements, that makes everything right; not always the only one

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [value.shape for value in self.values]

    def fits(self, changes: np.ndarray) -> np.ndarray:
        """Of changes (elements, several): which make everything right."""
        return np.abs(self.jacobian @ changes - self.lack[:, None]).max(0) <= RIGHT


@dataclass(eq=False)
class Inquiry:
    """Asks of one expression after another whether a value of it would make everything right."""

    function: Function
    facts: Facts
    evidence: Evidence
    gradients: Callable[[], dict[str, Any]]
    seconds: float
    needs: dict[ast.AST, Need] = field(default_factory=dict)  # of expressions that have such a value
    innocent: set[ast.AST] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._watch = Stopwatch()
        self._known = {
            name: np.isfinite(numeric)
            for name, numeric in self.evidence.numeric.items()
            if name in self.evidence.analytic
        }
        self._true = self._flat(self.evidence.numeric)

    def _flat(self, gradients: dict[str, Any]) -> np.ndarray:
        """The known elements of all gradients, as shares of the largest one of each."""
        parts = [np.zeros(0)]
        for name, known in self._known.items():
            numeric = self.evidence.numeric[name][known]
            parts.append(np.asarray(gradients[name])[known] / (np.abs(numeric).max(initial=0) or 1.0))
        return np.concatenate(parts)

    def ask(self, slot: tuple[ast.AST, str, int | None]) -> bool | None:
        """Whether there is such a value; None if that cannot be told."""
        parent, name, index = slot
        held = getattr(parent, name) if index is None else getattr(parent, name)[index]
        values = self.facts.values.get(held, [])
        if not values or len(values) >= VISITS or not all(map(_numbers, values)) or not self._true.size:
            return None
        if sum(np.size(value) for value in values) > ELEMENTS or self._watch.spent > self.seconds:
            return None
        values = [np.asarray(value, dtype=np.float64) for value in values]
        call = ast.copy_location(ast.Call(ast.Name(_ADD, ast.Load()), [held], []), held)
        try:
            put(parent, name, index, ast.fix_missing_locations(call))
            code = self.function.compiled()
        finally:
            put(parent, name, index, held)
        if code is None:
            return None
        nudge = _Nudge([value.shape for value in values])
        try:
            with built_in({_ADD: nudge}), replaced(self.function, code):
                answer = self._answer(nudge, values, held)
        except Exception:
            return None
        if answer is False:
            self.innocent.add(held)
        return answer

    def _run(self, nudge: _Nudge, change: np.ndarray) -> np.ndarray:
        nudge.start(change)
        flat = self._flat(self.gradients())
        if nudge.visit != len(nudge.shapes) or not np.isfinite(flat).all():
            raise ValueError("another run visits another number of times")
        return flat

    def _answer(self, nudge: _Nudge, values: list[np.ndarray], held: ast.AST) -> bool | None:
        size = sum(value.size for value in values)
        change = np.zeros(size)
        linear = True
        for turn in range(3):
            now = self._run(nudge, change)
            lack = self._true - now
            if np.abs(lack).max() <= RIGHT:
                break
            jacobian = np.stack([self._column(nudge, change, now, element) for element in range(size)], 1)
            if not turn:
                first = Need(values, jacobian, lack, change)
                some = np.cos(np.arange(size) * 1.7) * STEP * 300
                predicted, got = now + jacobian @ some, self._run(nudge, some)
                linear = bool(np.abs(predicted - got).max() <= 1e-7 * max(1.0, np.abs(got).max()))
            step = np.linalg.lstsq(jacobian, lack, rcond=1e-10)[0]
            change = change + step
            if linear and np.abs(jacobian @ step - lack).max() > RIGHT:
                return False
        else:
            if np.abs(self._true - self._run(nudge, change)).max() > RIGHT:
                return False if linear else None
        if linear:
            first.change = change
            self.needs[held] = first
        return True

    def _column(self, nudge: _Nudge, change: np.ndarray, now: np.ndarray, element: int) -> np.ndarray:
        if self._watch.spent > self.seconds:
            raise Overspent
        moved = change.copy()
        moved[element] += STEP
        return (self._run(nudge, moved) - now) / STEP


def mended_scopes(
    function: Function, slot: tuple[ast.AST, str, int | None], statement: ast.stmt, need: Need, run: Callable[[], Any]
) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """The values of an expression, and what is in scope, at each visit of a run in which it is changed as is needed."""
    parent, name, index = slot
    held = getattr(parent, name) if index is None else getattr(parent, name)[index]
    call = ast.copy_location(ast.Call(ast.Name(_ADD, ast.Load()), [held], []), held)
    nudge = _Nudge(need.shapes)
    nudge.start(need.change)
    try:
        put(parent, name, index, ast.fix_missing_locations(call))
        with built_in({_ADD: nudge}):
            facts = observe(function, run, [statement])
    finally:
        put(parent, name, index, held)
    return [np.asarray(value, dtype=np.float64) for value in facts.values.get(held, [])], facts.history.get(
        statement, []
    )


class _Nudge:
    """Adds its part of a change to the value at each visit."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.visit = 0
        self._parts: list[np.ndarray] = []

    def start(self, change: np.ndarray) -> None:
        self.visit = 0
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        self._parts = [
            part.reshape(shape) for part, shape in zip(np.split(change, ends[:-1]), self.shapes, strict=True)
        ]

    def __call__(self, value: Any) -> Any:
        part = self._parts[self.visit]
        self.visit += 1
        return value + part


def _numbers(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fb"
    return isinstance(value, float | np.floating)
