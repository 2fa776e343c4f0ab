"""How wrong numbers are related to the right ones: what a learner can find the mistake by, where no known one makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_ALIKE = 1e-9
_FEWEST = 3  # different numbers: of two, many things are true by accident


@dataclass(frozen=True)
class Relation:
    """Which one it is, and the sentence."""

    kind: str
    sentence: str


def between(expected: Any, came: Any, sizes: dict[str, int]) -> Relation | None:
    """The most telling relation of two results; None where nothing fits. Of several results, of the first that differs."""
    a, b = _first_difference(expected, came)
    if (
        a is None
        or b is None
        or a.shape != b.shape
        or np.unique(a).size < _FEWEST
        or a.dtype.kind not in "fiu"
        or not np.isfinite(b).all()
    ):
        return None
    for relation in (_factor, _offset, _transposed, _shifted, _reversed):
        if sentence := relation(a.astype(float), b.astype(float), sizes):
            return Relation(relation.__name__, sentence)
    return None


def _first_difference(expected: Any, came: Any) -> tuple[Any, Any]:
    if isinstance(expected, tuple | list) and isinstance(came, tuple | list) and len(expected) == len(came):
        for a, b in zip(expected, came, strict=True):
            found = _first_difference(a, b)
            if found[0] is not None and not _alike(*found):
                return found
        return None, None
    if isinstance(expected, dict) and isinstance(came, dict) and set(expected) == set(came):
        return _first_difference(list(expected.values()), [came[key] for key in expected])
    if isinstance(expected, np.ndarray) and isinstance(came, np.ndarray):
        return expected, came
    return None, None


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=_ALIKE, atol=_ALIKE * float(np.abs(a).max(initial=0))))


def _factor(a: np.ndarray, b: np.ndarray, sizes: dict[str, int]) -> str:
    if not np.abs(a).max():
        return ""
    place = np.unravel_index(np.argmax(np.abs(a)), a.shape)
    factor = float(b[place] / a[place])
    if factor == 0 or abs(factor - 1) < 1e-6 or not _alike(a * factor, b):
        return ""
    if abs(factor + 1) < 1e-9:
        return "every number has the wrong sign"
    for name, size in sizes.items():
        if abs(factor - size) < 1e-6 and size > 1:
            return f"every number is {size} times what it should be, and {name} is {size}: a sum where a mean is meant?"
        if abs(factor * size - 1) < 1e-6 and size > 1:
            return f"every number is 1/{size} of what it should be, and {name} is {size}: a mean where a sum is meant?"
    return f"every number is {factor:.6g} times what it should be"


def _offset(a: np.ndarray, b: np.ndarray, sizes: dict[str, int]) -> str:
    offset = float((b - a).flat[0])
    return f"every number is off by {offset:.6g}" if offset and _alike(a + offset, b) else ""


def _transposed(a: np.ndarray, b: np.ndarray, sizes: dict[str, int]) -> str:
    square = a.ndim == 2 and a.shape[0] == a.shape[1]
    return "the numbers are those of the transpose" if square and _alike(a.T, b) else ""


def _shifted(a: np.ndarray, b: np.ndarray, sizes: dict[str, int]) -> str:
    for axis in range(a.ndim):
        n = a.shape[axis]
        if n < 3:
            continue
        early, late = np.take(a, range(n - 1), axis), np.take(a, range(1, n), axis)
        if not np.ptp(a, axis=axis).any():
            continue
        if _alike(early, np.take(b, range(1, n), axis)):
            return f"the numbers stand one place too late along axis {axis}"
        if _alike(late, np.take(b, range(n - 1), axis)):
            return f"the numbers stand one place too early along axis {axis}"
    return ""


def _reversed(a: np.ndarray, b: np.ndarray, sizes: dict[str, int]) -> str:
    for axis in range(a.ndim):
        if a.shape[axis] > 1 and not _alike(a, np.flip(a, axis)) and _alike(np.flip(a, axis), b):
            return f"the numbers stand in reverse along axis {axis}"
    return ""
