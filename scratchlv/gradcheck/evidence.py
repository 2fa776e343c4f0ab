"""What a check has found about wrong gradients, for those who look for the cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass
class Evidence:
    """Gradients as backward computes them and as slopes say they are, by the input's name.

    A name is a parameter of forward, or a place in one: ``W``, ``params['W']``, ``xs[0]``, ``cell.W``.
    """

    inputs: dict[str, Any]  # by name: float64 arrays where there is a gradient; other inputs as they are
    analytic: dict[str, np.ndarray] = field(default_factory=dict)
    numeric: dict[str, np.ndarray] = field(default_factory=dict)  # NaN where no slope was measured
    wrong: list[str] = field(default_factory=list)  # the inputs whose gradient is wrong
    y: Any = None  # the output of forward
    dy: Any = None  # the output gradient, built like y; 1 if y is a scalar
    cache: Any = None
    backward: Callable[[Any], dict[str, np.ndarray]] | None = (
        None  # the gradients, by name, for another dy and the same cache
    )
    forward: Callable[[dict[str, Any]], tuple[Any, Any]] | None = (
        None  # (y, cache) of other inputs, given by these names
    )


class Rerun(Protocol):
    """Checks once more, with other inputs (built as the user gave them), another output gradient, or both; None if that fails."""

    def __call__(self, inputs: dict[str, Any] | None = None, dy: Any = None) -> Evidence | None: ...


Test = Callable[[], dict[str, bool]]
"""Runs backward as it is now, on inputs whose slopes are known: whether each gradient is right, by the input's name."""
