"""What the benchmarks share: when two sides agree, and how figures are told."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from case import Case


class Refused(Exception):
    """A case or a side cannot be timed: it failed, or its results are not those of the others."""


def difference(case: Case, way: Any, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """The largest difference of a result, relative to its largest number, or to its norm; ``way.name`` is whose ``theirs`` are.

    Raises:
        Refused: it is larger than the case allows, or a result is missing.
    """
    if case.by_norm:
        return norm_difference(way.name, ours, theirs, case.tolerance, case.tolerance / 10)
    worst = 0.0
    for name, value, other in pairs(way.name, ours, theirs):
        with np.errstate(invalid="ignore"):  # an infinity makes it NaN, which is refused
            apart = float(np.abs(value - other).max() / max(np.abs(other).max(), 1e-30))
        most = case.tolerance / 10 if name == "loss" else case.tolerance
        if not apart <= most:
            raise Refused(f"{way.name}: {name} differs from ours by {apart:.1e} of its largest number")
        worst = max(worst, apart)
    return worst


def norm_difference(
    whose: str, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], most: float, most_loss: float
) -> float:
    """The largest ‖ours - theirs‖ / ‖theirs‖ of a result: for products whose operands were rounded, and
    for gradients where a number so near to 0 that ReLU is open to one and closed to another adds or takes a large summand.

    Raises:
        Refused: it is larger than ``most`` (``most_loss`` for the loss), or a result is missing.
    """
    worst = 0.0
    for name, value, other in pairs(whose, ours, theirs):
        value, other = value.astype(np.float64), other.astype(np.float64)
        with np.errstate(invalid="ignore"):
            apart = float(np.linalg.norm(value - other) / max(np.linalg.norm(other), 1e-30))
        if not apart <= (most_loss if name == "loss" else most):
            raise Refused(f"{whose}: the norm of {name}'s error is {apart:.1e} of its own")
        worst = max(worst, apart)
    return worst


def pairs(whose: str, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]):
    """Name, our result and theirs, one after another.

    Raises:
        Refused: a result is missing, or has another shape.
    """
    if ours.keys() != theirs.keys():
        raise Refused(f"{whose}: only one side has {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    for name, value in ours.items():
        value, other = np.asarray(value), np.asarray(theirs[name])
        if value.shape != other.shape:
            raise Refused(f"{whose}: {name} has the shape {other.shape}, ours {value.shape}")
        yield name, value, other


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def version(name: str) -> str | None:
    """Of an installed package; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
