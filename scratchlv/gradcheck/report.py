"""What a check found: one row for each gradient, and the verdict with its reasons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Gradient:
    """What was found for one input: the largest error as a share of the gradient's largest element, and where."""

    name: str
    error: float
    tolerance: float
    worst: tuple[int, ...] | None = None  # None: along a random direction, or nothing to compare
    analytic: float = 0.0  # the values there
    numeric: float = 0.0
    points: int = 0  # compared
    kinks: int = 0  # skipped

    @property
    def ok(self) -> bool:
        return bool(self.error <= self.tolerance)  # False for NaN

    def __str__(self) -> str:
        where = "along a random direction" if self.worst is None else f"at {self.worst}"
        text = f"{self.name}: error {self.error:.1e}"
        if not self.ok:
            text += f" {where}: {self.analytic:.6g}, and should be {self.numeric:.6g}"
        if self.kinks:
            text += f" ({self.kinks} point{'s' * (self.kinks > 1)} skipped: a kink, the one-sided slopes differ)"
        return text


@dataclass
class Report:
    """The verdict on one backward pass, and the reasons."""

    subject: str = ""
    variant: str = ""
    case: str = ""
    gradients: list[Gradient] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what is wrong besides numbers: mutation, NaN, shapes …
    diagnosis: list[str] = field(default_factory=list)  # what the errors are consistent with
    not_checked: str = ""  # the reason, if there was nothing to check

    @property
    def ok(self) -> bool:
        return not self.problems and all(gradient.ok for gradient in self.gradients)

    @property
    def worst(self) -> Gradient | None:
        """The gradient that is furthest from its tolerance."""
        return max(self.gradients, key=lambda g: (not g.ok, g.error / (g.tolerance or 1)), default=None)

    @property
    def verdict(self) -> str:
        return "not checked" if self.not_checked else "right" if self.ok else "WRONG"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; numbers that are not finite become text."""
        return {
            "verdict": self.verdict,
            **asdict(self, dict_factory=lambda items: {k: finite_or_text(v) for k, v in items}),
        }

    def __str__(self) -> str:
        title = ", ".join(part for part in (self.subject, self.variant, self.case) if part)
        lines = [f"{title}: {self.verdict}" if title else self.verdict]
        lines += [self.not_checked] if self.not_checked else []
        lines += [*self.problems, *map(str, self.gradients)]
        lines += [f"-> {sentence}" for sentence in self.diagnosis]
        return "\n  ".join(lines)


def finite_or_text(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
