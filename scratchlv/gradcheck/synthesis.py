"""Expressions of what is in scope that are just what an expression lacks, or just what it should be: by their values alone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scratchlv.gradcheck.needed import Need

ATOMS = 40
BATCH, FITS = 512, 8
Values = list[np.ndarray]  # of an expression, by visit
Scopes = list[dict[str, np.ndarray]]  # what is in scope, by visit

FORMS = {  # of an array: the expression, and its value
    "{}": lambda a: a,
    "(1 - {})": lambda a: 1 - a,
    "(1 - {} ** 2)": lambda a: 1 - a**2,
    "({} > 0)": lambda a: (a > 0).astype(float),
    "{} ** 2": lambda a: a**2,
    "np.sqrt({})": np.sqrt,
    "np.sign({})": np.sign,
    "np.exp({})": np.exp,
    "np.cos({})": np.cos,
    "np.sin({})": np.sin,
    "np.tanh({})": np.tanh,
    "(1 - np.tanh({}) ** 2)": lambda a: 1 - np.tanh(a) ** 2,
}
SUMS = {  # of a product
    "{}.sum(-1, keepdims=True)": lambda a: a.sum(-1, keepdims=True),
    "{}.mean(-1, keepdims=True)": lambda a: a.mean(-1, keepdims=True),
    "{}.sum(0)": lambda a: a.sum(0),
    "{}.mean(0)": lambda a: a.mean(0),
    "{}.sum(-1)": lambda a: a.sum(-1),
    "{}.sum()": lambda a: a.sum(),
}


@dataclass(frozen=True)
class Fit:
    """``text`` is what is to be added ("+"), subtracted ("-"), multiplied by ("*"), divided by ("/") or written instead ("=")."""

    sign: str
    text: str


def fits(need: Need, now: Values, scopes: Scopes, seconds: float) -> list[Fit]:
    """What fits, of the simplest kind that does; the shortest first. ``now`` is what the expression is, with these scopes."""
    until = time.monotonic() + seconds
    flat = np.concatenate([value.ravel() for value in now])
    for stage in STAGES:
        found: list[Fit] = []
        batch: list[tuple[str, np.ndarray]] = []
        with np.errstate(all="ignore"):
            for text, values in stage(_atoms(scopes), need.shapes):
                if values is None or not _broadcast(values, need.shapes):
                    continue
                pairs = zip(values, need.shapes, strict=True)
                batch.append((text, np.concatenate([np.broadcast_to(value, shape).ravel() for value, shape in pairs])))
                if len(batch) == BATCH:
                    found += _fitting(need, batch, flat)
                    batch = []
                    if time.monotonic() > until:
                        break
            found += _fitting(need, batch, flat)
        if found or time.monotonic() > until:
            break
    return sorted(found, key=lambda fit: (len(fit.text), fit.sign))[:FITS]


def _fitting(need: Need, batch: list[tuple[str, np.ndarray]], now: np.ndarray) -> list[Fit]:
    if not batch:
        return []
    batch = [each for each in batch if np.isfinite(each[1]).all()]
    matrix, now = np.stack([flat for _, flat in batch], 1), now[:, None]
    new = {
        "+": now + matrix,
        "-": now - matrix,
        "=": matrix,
        "= -": -matrix,
        "*": now * matrix,
        "/": now / np.where(matrix == 0, np.inf, matrix),
    }
    return [
        Fit(sign, text)
        for sign, values in new.items()
        for (text, _), good in zip(batch, need.fits(values - now), strict=True)
        if good
    ]


Found = Iterator[tuple[str, Values | None]]
Shapes = list[tuple[int, ...]]


def _simple(atoms: dict[str, Values], shapes: Shapes) -> Found:
    for text, atom in atoms.items():
        for form, values in _forms(atom):
            yield form.format(text), values


def _products(atoms: dict[str, Values], shapes: Shapes) -> Found:
    forms = [(form.format(text), values) for text, atom in atoms.items() for form, values in _forms(atom)]
    for (one, a), (two, b) in itertools.product(atoms.items(), forms):
        if one != two:
            yield f"{one} * {two}", _each(np.multiply, a, b)
            yield f"{one} / {two}", _each(np.divide, a, b)
    for (one, a), (two, b) in itertools.combinations(atoms.items(), 2):
        yield f"({one} - {two})", _each(np.subtract, a, b)
        yield f"({one} + {two})", _each(np.add, a, b)


def _matrix_products(atoms: dict[str, Values], shapes: Shapes) -> Found:
    for (one, a), (two, b) in itertools.product(atoms.items(), repeat=2):
        if a[0].ndim == b[0].ndim == len(shapes[0]) == 2:
            for first, second in itertools.product((False, True), repeat=2):
                text = f"{one}{'.T' * first} @ {two}{'.T' * second}"
                yield text, _each(lambda a, b, f=first, s=second: (a.T if f else a) @ (b.T if s else b), a, b)


def _sums(atoms: dict[str, Values], shapes: Shapes) -> Found:
    for text, atom in atoms.items():
        for form, function in SUMS.items():
            yield form.format(text), _each(function, atom)
    for (one, a), (two, b) in itertools.combinations_with_replacement(atoms.items(), 2):
        product = _each(np.multiply, a, b)
        if product is not None:
            for form, function in SUMS.items():
                yield form.format(f"({one} * {two})"), _each(function, product)


def _weighted_sums(atoms: dict[str, Values], shapes: Shapes) -> Found:
    for (one, a), (two, b) in itertools.product(atoms.items(), repeat=2):
        product = _each(np.multiply, a, b)
        for axis in (-1, 0):
            for name, function in (("mean", np.mean), ("sum", np.sum)):
                values = (
                    _each(lambda a, b, f=function, x=axis: a * f(b, x, keepdims=True), a, product) if product else None
                )
                yield f"{one} * ({one} * {two}).{name}({axis}, keepdims=True)", values


def _triples(atoms: dict[str, Values], shapes: Shapes) -> Found:
    forms = [(form.format(text), values) for text, atom in atoms.items() for form, values in _forms(atom)]
    for (one, a), (two, b) in itertools.combinations(atoms.items(), 2):
        product = _each(np.multiply, a, b)
        if product is not None and _broadcast(product, shapes):
            for three, c in forms:
                yield f"{one} * {two} * {three}", _each(np.multiply, product, c)


STAGES = (_simple, _products, _matrix_products, _sums, _weighted_sums, _triples)


def _atoms(scopes: Scopes) -> dict[str, Values]:
    """What is in scope at all visits, without what is the same as something before it."""
    found: dict[str, Values] = {}
    seen: set[bytes] = set()
    names = sorted(scopes[0], key=lambda text: (text.count("[") + text.count("."), len(text))) if scopes else []
    for text in names:
        values = [scope.get(text) for scope in scopes]
        if any(value is None for value in values):
            continue
        whole = [np.asarray(value, dtype=np.float64) for value in values]
        if max(value.size for value in whole) > 2000:
            continue
        mark = b"".join(value.tobytes() + bytes(value.shape) for value in whole)
        if mark not in seen and any(value.any() for value in whole):
            seen.add(mark)
            found[text] = whole
        if len(found) >= ATOMS:
            break
    return found


def _forms(atom: Values) -> Iterator[tuple[str, Values]]:
    for form, function in FORMS.items():
        yield form, [function(value) for value in atom]
    if max(np.abs(value).max(initial=0) for value in atom) <= 1:
        yield "{0} * (1 - {0})", [value * (1 - value) for value in atom]


def _each(operation, *operands: Values) -> Values | None:
    try:
        return [operation(*values) for values in zip(*operands, strict=True)]
    except (ValueError, np.exceptions.AxisError):
        return None


def _broadcast(values: Values, shapes: list[tuple[int, ...]]) -> bool:
    """They can be broadcast to the shapes."""
    for value, shape in zip(values, shapes, strict=True):
        found = np.shape(value)
        if len(found) > len(shape) or any(a not in (1, b) for a, b in zip(found[::-1], shape[::-1], strict=False)):
            return False
    return True
