"""Is what came what was expected? Structure and shapes first, then dtypes, then values: the first difference is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.exercises.wire import Opaque

_SMALL = 30  # numbers in an array that is shown whole
_ONE_LINE = 6  # numbers in an array that is shown in one line
_ALL_ZERO = 1e-3  # the size that an array is taken to have at least: zeros are compared, too
FLOAT32 = 2e-5  # of results in float32, as a share of the largest number


@dataclass(frozen=True)
class Difference:
    """What differs: at which stage, in a sentence, and both sides as text."""

    stage: str
    sentence: str
    expected: str = ""
    came: str = ""


def compare(
    expected: Any, came: Any, tolerance: float, name: str, stage: str = "value", parts: Sequence[str] = ()
) -> Difference | None:
    """The first difference of two results, or None.

    Args:
        tolerance: of a number, as a share of the largest number of its array.
        name: what the result is called, such as ``"forward's y"``.
        stage: what a wrong value is called.
        parts: of a tuple, what its elements are called.
    """
    pairs, difference = _paired(expected, came, name)
    if difference is None and isinstance(expected, tuple) and len(parts) == len(expected):
        pairs = [pair for part, a, b in zip(parts, expected, came, strict=True) for pair in _paired(a, b, part)[0]]
    if difference is not None:
        return difference
    for judge in (_shape, _dtype):
        for name, a, b in pairs:
            if (found := judge(a, b, name)) is not None:
                return found
    for name, a, b in pairs:
        if (found := _value(a, b, tolerance, name, stage)) is not None:
            return found
    return None


def same(expected: Any, came: Any, tolerance: float) -> bool:
    return compare(expected, came, tolerance, "") is None


# --- structure --------------------------------------------------------------------------------------------------------


def _paired(expected: Any, came: Any, name: str) -> tuple[list[tuple[str, Any, Any]], Difference | None]:
    """The leaves of both, side by side; or where the structures differ."""
    pairs: list[tuple[str, Any, Any]] = []

    def walk(a: Any, b: Any, name: str) -> Difference | None:
        if isinstance(a, dict):
            return walk_dict(a, b, name)
        if isinstance(a, tuple | list):
            b = list(b) if isinstance(a, list) and isinstance(b, np.ndarray) and b.ndim else b
            if not isinstance(b, tuple | list) or len(a) != len(b):
                return _structure(name, a, b)
            return first(walk(x, y, f"{name}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
        pairs.append((name, a, b))
        return None

    def walk_dict(a: dict, b: Any, name: str) -> Difference | None:
        if not isinstance(b, dict) or set(a) != set(b):
            return _structure(name, a, b)
        return first(walk(a[key], b[key], f"{name}[{key!r}]") for key in a)

    def first(found: Iterator[Difference | None]) -> Difference | None:
        return next((each for each in found if each is not None), None)

    difference = walk(expected, came, name)
    return pairs, difference


def _structure(name: str, expected: Any, came: Any) -> Difference:
    sentence = f"{name} is {describe(came)}, and should be {describe(expected)}"
    return Difference("shape", sentence, describe(expected), describe(came))


def describe(value: Any) -> str:
    """What something is, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, Opaque):
        return value.kind
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, dict):
        return f"a dict with {', '.join(map(repr, list(value)[:8])) or 'nothing'}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, bool | np.bool_):
        return f"the bool {bool(value)}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return f"the number {value}"


# --- leaves -----------------------------------------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex | np.number | np.bool_) or (
        isinstance(value, np.ndarray) and not value.ndim
    )


def _shape(expected: Any, came: Any, name: str) -> Difference | None:
    if isinstance(expected, np.ndarray) and expected.ndim:
        if isinstance(came, np.ndarray) and came.shape == expected.shape:
            return None
        if isinstance(came, np.ndarray):
            sentence = (
                f"{name} has the shape {came.shape}, and should have {expected.shape}{_broadcast(expected, came)}"
            )
            return Difference("shape", sentence, str(expected.shape), str(came.shape))
        return _structure(name, expected, came)
    if _is_number(expected):
        return None if _is_number(came) else _structure(name, expected, came)
    if type(expected) is type(came):
        return None
    return _structure(name, expected, came)


def _broadcast(expected: np.ndarray, came: np.ndarray) -> str:
    alike = [n for n in came.shape if n != 1] == [n for n in expected.shape if n != 1]
    if alike and abs(came.ndim - expected.ndim) == 1:
        return ": the same numbers, with an axis of one too many or too few; NumPy would broadcast it"
    if came.shape == expected.shape[::-1]:
        return ": the transpose"
    if sorted(came.shape) == sorted(expected.shape):
        return ": the axes stand in another order"
    return ""


_KINDS = {"f": "floating point", "i": "integers", "u": "integers", "b": "bools", "c": "complex numbers"}


def _dtype(expected: Any, came: Any, name: str) -> Difference | None:
    a, b = getattr(expected, "dtype", None), getattr(came, "dtype", None)
    if not (isinstance(expected, np.ndarray) and expected.ndim) or a is None or b is None or a == b:
        return None
    if a.kind in "iu" and b.kind in "iu":
        return None
    why = {
        ("f", "f"): ": the dtype of what comes in is the dtype of what goes out",
        ("f", "i"): ": fractions are cut off",
        ("f", "c"): ": imaginary parts are left in it",
    }.get((a.kind, b.kind), "")
    return Difference("dtype", f"{name} is of {b}, and should be of {a}{why}", str(a), str(b))


def _value(expected: Any, came: Any, tolerance: float, name: str, stage: str) -> Difference | None:
    if not _is_number(expected) and not isinstance(expected, np.ndarray):
        if expected == came:
            return None
        return Difference(
            stage, f"{name} is {describe(came)}, and should be {describe(expected)}", repr(expected), repr(came)
        )
    a, b = np.asarray(expected), np.asarray(came)
    wrong = wrong_elements(a, b, tolerance)
    if not wrong.any():
        return None
    return Difference(stage, _which(a, b, wrong, name), as_text(expected, wrong), as_text(came, wrong))


def wrong_elements(expected: np.ndarray, came: np.ndarray, tolerance: float) -> np.ndarray:
    """Where two arrays of one shape differ by more than ``tolerance`` of the largest number. NaN differs from all but NaN."""
    if expected.dtype.kind not in "fc":
        return np.asarray(expected != came)
    if np.float32 in (expected.dtype, came.dtype):
        tolerance = max(tolerance, FLOAT32)
    with np.errstate(all="ignore"):
        finite = np.abs(expected[np.isfinite(expected)])
        allowed = tolerance * max(float(finite.max(initial=0.0)), _ALL_ZERO)
        near = np.abs(expected - came) <= allowed
    alike = (expected == came) | (np.isnan(expected) & np.isnan(came))
    return ~(near | alike)


def _which(a: np.ndarray, b: np.ndarray, wrong: np.ndarray, name: str) -> str:
    if not a.ndim:
        return f"{name} is {_number(b[()], a[()])}, and should be {_number(a[()], b[()])}"
    places = np.argwhere(wrong)
    where = tuple(int(i) for i in places[0])
    what = "is wrong everywhere" if wrong.all() else f"is wrong in {len(places):,} of {a.size:,} places"
    if np.isnan(b[where]):
        return f"{name} {what}: NaN first at {where}"
    place = f"{name}[{', '.join(map(str, where))}]"
    return f"{name} {what}: {place} is {_number(b[where], a[where])}, and should be {_number(a[where], b[where])}"


def _number(value: Any, other: Any) -> str:
    """With as many digits as tell it from the other."""
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(value)
    value = value + 0.0  # there is no -0
    for digits in range(5, 18):
        text = f"{value:.{digits}g}"
        if text != f"{other:.{digits}g}":
            break
    return text


def as_text(value: Any, wrong: np.ndarray | None = None) -> str:
    """An array as lines: whole if it is small, else the part around the first wrong element."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        value = value + 0.0  # there is no -0
    if not isinstance(value, np.ndarray) or not value.ndim:
        return _number(value, None) if isinstance(value, int) else f"{value:.8g}" if _is_number(value) else repr(value)
    note = ""
    if value.size <= _ONE_LINE:
        return one_line(value)
    if value.size > _SMALL or value.ndim > 2:
        value, note = _part(value, wrong)
    text = np.array2string(
        value, precision=5, suppress_small=False, separator=", ", max_line_width=200, threshold=_SMALL
    )
    return f"{note}{text}"


def one_line(value: np.ndarray) -> str:
    return re.sub(r"\n\s*", " ", np.array2string(value, precision=5, separator=", ", max_line_width=200))


def _part(value: np.ndarray, wrong: np.ndarray | None) -> tuple[np.ndarray, str]:
    """The last two axes, at most 4 by 5 of them, with the first wrong element in the corner; and which part that is."""
    where = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong is not None and wrong.any() else (0,) * value.ndim
    index: list[Any] = [int(i) for i in where]
    names = [str(i) for i in where]
    for axis, most in ((value.ndim - 1, 5), (value.ndim - 2, 4)):
        if axis < 0:
            continue
        first = max(0, min(where[axis], value.shape[axis] - most))
        last = min(first + most, value.shape[axis])
        index[axis], names[axis] = slice(first, last), f"{first}:{last}"
    return value[tuple(index)], f"[{', '.join(names)}] of {value.shape}:\n"
