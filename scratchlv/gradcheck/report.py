"""What a check found: one row for each gradient, and the verdict with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

RIGHT, WRONG, NOT_CHECKED = "right", "WRONG", "not checked"


@dataclass(frozen=True)
class Gradient:
    """What was found for one input: the largest error as a share of the gradient's size there, and where."""

    name: str
    error: float
    tolerance: float
    worst: tuple[int, ...] | None = None  # None: along a random direction, or nothing to compare
    analytic: float = 0.0  # the values there
    numeric: float = 0.0
    points: int = 0  # compared
    kinks: int = 0  # points at a kink
    between: int = 0  # of these, where the gradient lies between the slopes from left and right: they count as compared
    unmeasured: int = 0  # points whose slope is not known well enough
    size: int = 0  # elements of the input
    beside_kinks: int = 0  # points so near a kink that the usual step crosses it: a shorter one was taken
    precision: float = 0.0  # by how much the numeric value may be off
    reason: str = ""  # why nothing could be compared
    errors: np.ndarray | None = field(default=None, repr=False, compare=False)  # by element, NaN where not compared

    def not_told(self, reason: str) -> Gradient:
        return replace(self, reason=reason, error=0.0)

    @property
    def verdict(self) -> str:
        if not self.error <= self.tolerance:  # NaN too
            return WRONG
        return NOT_CHECKED if self.reason else RIGHT

    @property
    def ok(self) -> bool:
        return self.verdict == RIGHT

    def __str__(self) -> str:
        if self.verdict == NOT_CHECKED:
            return f"{self.name}: not checked: {self.reason}"
        where = "along a random direction" if self.worst is None else f"at {self.worst}"
        text = f"{self.name}: error {self.error:.1e}"
        if not self.ok:
            text += f" {where}: {', and should be '.join(self.values())}"
        notes = self.notes()
        if self.size > self.points and self.points:
            notes.insert(0, f"{self.points:,} of {self.size:,} elements compared")
        return text + (f" ({'; '.join(notes)})" if notes else "")

    def notes(self) -> list[str]:
        """Which points are not compared as the others are, and why."""
        notes = []
        if self.kinks:
            how = "and the gradient lies between them" if self.between == self.kinks else "skipped"
            notes.append(f"{_count(self.kinks)} at a kink, where the one-sided slopes differ, {how}")
        if self.beside_kinks:
            notes.append(
                f"{_count(self.beside_kinks)} so near a kink that the usual step crosses it, moved by shorter ones"
            )
        if self.unmeasured:
            notes.append(f"{_count(self.unmeasured)} skipped, whose slope is too small to measure")
        return notes

    def values(self) -> tuple[str, str]:
        """The analytic and the numeric value; of a wrong gradient, with as many digits as tell them apart."""
        for digits in range(6, 18):
            analytic, numeric = f"{self.analytic:.{digits}g}", f"{self.numeric:.{digits}g}"
            if analytic != numeric or self.verdict != WRONG:
                break
        return analytic, numeric

    def to_dict(self) -> dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "errors"}
        return {key: finite_or_text(value) for key, value in plain.items()} | {"verdict": self.verdict}


def _count(points: int) -> str:
    return f"{points} point{'s' * (points > 1)}"


@dataclass(repr=False)
class Report:
    """The verdict on one backward pass, and the reasons. It is true if every gradient was compared, and is right."""

    subject: str = ""
    variant: str = ""
    case: str = ""
    gradients: list[Gradient] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what is wrong besides numbers: mutation, NaN, shapes …
    diagnosis: list[str] = field(default_factory=list)  # what the errors are consistent with, the most telling first
    not_checked: str = ""  # the reason, if there was nothing to check
    notes: list[str] = field(default_factory=list)  # what is good to know, and is no fault
    smallest: dict[str, tuple[int, ...]] = field(
        default_factory=dict
    )  # the shapes of the smallest inputs that fail, too

    @property
    def ok(self) -> bool:
        """Whether every gradient was compared, and is right."""
        return self.verdict == RIGHT

    @property
    def worst(self) -> Gradient | None:
        """The gradient that is furthest from its tolerance."""
        return max(self.gradients, key=_distance, default=None)

    @property
    def verdict(self) -> str:
        verdicts = {gradient.verdict for gradient in self.gradients}
        if self.problems or WRONG in verdicts:
            return WRONG
        return NOT_CHECKED if self.not_checked or NOT_CHECKED in verdicts or not self.gradients else RIGHT

    def to_dict(self) -> dict[str, Any]:
        """For JSON; numbers that are not finite become text."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"verdict": self.verdict, **plain, "gradients": [gradient.to_dict() for gradient in self.gradients]}

    def title(self) -> str:
        """What was checked."""
        return ", ".join(part for part in (self.subject, self.variant, self.case) if part)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        """One line, for tracebacks; ``str`` has all."""
        names = " ".join(gradient.name for gradient in self.gradients if gradient.verdict == self.verdict)
        return f"<Report: {self.verdict}{f': {names}' if names else ''}>"

    def __rich__(self) -> Any:
        from scratchlv.gradcheck.views import TerminalView

        return TerminalView(self)

    def _repr_html_(self) -> str:
        from scratchlv.gradcheck.views import as_html

        return as_html(self)

    def __str__(self) -> str:
        title = self.title()
        lines = [f"{title}: {self.verdict}" if title else self.verdict]
        lines += [self.not_checked] if self.not_checked else []
        lines += [*self.problems, *map(str, self.gradients), *self.notes]
        lines += [f"-> {sentence}" for sentence in self.diagnosis]
        return "\n  ".join(lines)


def _distance(gradient: Gradient) -> tuple[bool, bool, float]:
    share = gradient.error / (gradient.tolerance or 1)
    return gradient.verdict == WRONG, not np.isfinite(share), share if np.isfinite(share) else 0.0


def finite_or_text(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
