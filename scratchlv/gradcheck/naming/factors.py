"""What a constant factor may be: a length that was forgotten, a sign, a scale, a setting."""

from __future__ import annotations

import itertools
import math

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.findings import CLOSE
from scratchlv.gradcheck.trees import leaves

MOST_NAMES = 3
ROUND = 1e-6  # of a number that is taken for one with few digits


def near(c: float, value: float) -> bool:
    return bool(value) and abs(c / value - 1) < CLOSE


def lengths(evidence: Evidence, sizes: dict[str, int] | None) -> dict[str, int]:
    """The lengths that a factor may come from, by name: the sizes as they are called, or the axes of the inputs."""
    found = {name: int(size) for name, size in (sizes or {}).items() if size > 1}
    for name, value in evidence.inputs.items():
        for axis, length in enumerate(np.shape(value)):
            if length > 1 and length not in found.values():
                found[f"{name}.shape[{axis}]"] = length
    return found


def factor_cause(
    c: float,
    evidence: Evidence,
    sizes: dict[str, int] | None = None,
    divisors: set[float] | None = None,
    alone: bool = True,
    constants: dict[float, str] | None = None,
) -> tuple[str, bool]:
    """What a gradient may be consistent with that is ``c`` times what it should be, and whether the factor has a name.

    ``divisors`` are the numbers that forward divides by, if they are known, and ``constants`` those that it multiplies by,
    with what it means if they are missing or doubled; ``alone``: other gradients are right.
    """
    flipped = ", and a flipped sign" if c < 0 else ""
    if near(c, -1):
        return cause("sign"), True
    for number, words in (constants or {}).items():
        if any(near(abs(c), known) or near(abs(c) * known, 1) for known in (number, number**2)):
            return words + flipped, True
    found = _mean(abs(c), evidence, sizes, divisors, alone)
    if found:
        return found + flipped, True
    for named in (_mask, _setting, _root, _plain_number, _learning_rate):
        found = named(abs(c), evidence, sizes)
        if found:
            return found + flipped, True
    found = _another_length(abs(c), lengths(evidence, sizes), divisors)
    return (found or cause("factor")) + flipped, bool(found)


def is_setting(c: float, evidence: Evidence) -> bool:
    """Whether a number is one that somebody sets, as λ: of two digits, or held somewhere; twice that, or over a length."""
    held = {
        abs(float(leaf)) for leaf in leaves([evidence.inputs, evidence.cache]) if np.ndim(leaf) == 0 and _is_real(leaf)
    }
    scales = [1.0, *(float(length) for length in lengths(evidence, None).values())]
    for number in (abs(c) * factor * scale for factor in (0.5, 1.0, 2.0) for scale in scales):
        digits = float(f"{number:.1e}")
        if any(abs(number / known - 1) < ROUND for known in (digits, *held) if known):
            return True
    return False


def _is_real(leaf: object) -> bool:
    return isinstance(leaf, int | float | np.number | np.ndarray) and np.asarray(leaf).dtype.kind in "fiu"


def of_itself(name: str, c: float) -> str:
    """What adds ``c`` times an input to its own gradient."""
    begun = f"{cause('not from zero', which=name)}, or with " if abs(c - 1) < CLOSE else ""
    return begun + cause("regularisation")


def _mean(c: float, evidence: Evidence, sizes: dict[str, int] | None, divisors: set[float] | None, alone: bool) -> str:
    """A length. A mean that is missing is one that forward has; so is one too many, unless it is of single gradients."""
    known = lengths(evidence, sizes)
    products = [
        {"·".join(names): math.prod(known[name] for name in names) for names in itertools.combinations(known, count)}
        for count in (1, 2, 3)
    ]
    nice = _learning_rate(c, evidence, sizes)
    for candidates in products:
        own = (alone or not near(c, 0.5)) and (candidates is products[0] or not nice)
        above = [name for name, length in candidates.items() if near(c, length) and _divides(length, divisors)]
        below = [
            name for name, length in candidates.items() if near(c * length, 1) and (own or _divides(length, divisors))
        ]
        if above:
            return cause("mean missing", number=" or ".join(above[:MOST_NAMES]))
        if below:
            rival = f", or {cause('halved')}" if near(c, 0.5) else ""
            return cause("mean twice", number=" or ".join(below[:MOST_NAMES])) + rival
    return ""


def _another_length(c: float, known: dict[str, int], divisors: set[float] | None) -> str:
    """One length for another: in a mean that forward has, or under a root."""
    for (one, wrong), (other, true) in itertools.permutations(known.items(), 2):
        if near(c, true / wrong) and divisors and any(near(each, true) for each in divisors):
            return cause("another mean", one=one, other=other)
        if near(c * c, true / wrong) and not math.sqrt(true / wrong).is_integer():
            return cause("another scale", one=one, other=other)
    return ""


def _divides(length: int, divisors: set[float] | None) -> bool:
    """Whether forward divides by a length, or by a multiple of it; a 2 is rather the 2 of a square."""
    if divisors is None:
        return length != 2
    return any(
        near(divisor, length) or (length != 2 and near(round(divisor / length) * length, divisor))
        for divisor in divisors
    )


def _mask(c: float, evidence: Evidence, sizes: dict[str, int] | None) -> str:
    for name, value in evidence.inputs.items():
        if not isinstance(value, np.ndarray) or not value.size:
            continue
        binary = value.dtype == bool or bool(np.isin(value, (0, 1)).all())
        count, size = (float(value.sum()), float(value.size)) if binary else (0.0, 0.0)
        if name == "lengths" and value.dtype.kind in "iu":
            count, size = float(value.sum()), float(value.size * value.max())
        if 0 < count < size and (near(c, count / size) or near(c, size / count)):
            return cause("mask in the mean")
        if 1 < count < size and near(c, count):
            return cause("mean missing", number=f"the count of {name}")
        if 1 < count < size and near(c * count, 1):
            return cause("mean twice", number=f"the count of {name}")
    return ""


def _setting(c: float, evidence: Evidence, sizes: dict[str, int] | None) -> str:
    """A factor that is a number among the inputs, 1/(1 − p) say, or what a dropout mask holds."""
    for name, value in evidence.inputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size > 1:
            held = np.unique(value)
            if len(held) == 2 and held[0] == 0 and held[1] != 1 and (near(c, held[1]) or near(c * held[1], 1)):
                return cause("dropout scale")
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or value in (0, 1):
            continue
        value = abs(float(value))
        if value < 1 and any(near(c, each) or near(c * each, 1) for each in (1 - value, (1 - value) / value)):
            return cause("dropout scale")
        if name in ("keep", "keep_prob", "p_keep") and (near(c, value) or near(c * value, 1)):
            return cause("dropout scale")
        if near(c, value) or near(c * value, 1):
            return f"{cause('factor')}: {name}"
    return ""


def _root(c: float, evidence: Evidence, sizes: dict[str, int] | None) -> str:
    for length in lengths(evidence, sizes).values():
        root = math.sqrt(length)
        if not root.is_integer() and (near(c, root) or near(c * root, 1)):
            return cause("scale")
    return ""


def _plain_number(c: float, evidence: Evidence, sizes: dict[str, int] | None) -> str:
    two = [name for name, length in lengths(evidence, sizes).items() if length == 2]
    rival = f", or {cause('mean twice', number=' or '.join(two[:MOST_NAMES]))}" if two and near(c, 0.5) else ""
    return cause("doubled") if near(c, 2) else cause("halved") + rival if near(c, 0.5) else ""


def _learning_rate(c: float, evidence: Evidence, sizes: dict[str, int] | None) -> str:
    """A number like 0.1, 0.05, 0.01 or 0.003."""
    if not 1e-6 < c < 0.11:
        return ""
    digits = c / 10 ** math.floor(math.log10(c))
    return cause("learning rate") if any(near(digits, k) for k in (1, 10, 2, 3, 5)) else ""
