"""Expressions of what is in scope that are just what an expression lacks, or just what it should be: by their values alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from scratchlv.gradcheck.repair.apart import Stopwatch
from scratchlv.gradcheck.repair.needed import RIGHT, Need

ATOMS = 40
BATCH, FITS = 512, 8
Values = list[np.ndarray]  # of an expression, by visit
Shapes = list[tuple[int, ...]]
Scopes = list[dict[str, np.ndarray]]  # what is in scope, by visit
Found = Iterator[tuple[str, Values | None]]  # expressions, and their values if they have some
Batches = Iterator[tuple[list[str], np.ndarray]]  # expressions, and their values in the columns of a matrix
Function = Callable[..., np.ndarray]

FORMS: dict[str, Function] = {  # of an array: the expression, and its value
    "{}": lambda a: a,
    "(1 - {})": lambda a: 1 - a,
    "(1 - {} ** 2)": lambda a: 1 - a**2,
    "({} > 0)": lambda a: (a > 0).astype(float),
    "{} ** 2": lambda a: a**2,
    "np.sqrt({})": np.sqrt,
    "np.sign({})": np.sign,
    "np.exp({})": np.exp,
    "np.log({})": np.log,
    "np.cos({})": np.cos,
    "np.sin({})": np.sin,
    "np.tanh({})": np.tanh,
    "(1 - np.tanh({}) ** 2)": lambda a: 1 - np.tanh(a) ** 2,
}
SUMS: dict[str, Function] = {  # of an array or a product
    "{}.sum(-1, keepdims=True)": lambda a: a.sum(-1, keepdims=True),
    "{}.mean(-1, keepdims=True)": lambda a: a.mean(-1, keepdims=True),
    "{}.sum(0)": lambda a: a.sum(0),
    "{}.mean(0)": lambda a: a.mean(0),
    "{}.sum(-1)": lambda a: a.sum(-1),
    "{}.sum()": lambda a: a.sum(),
}


@dataclass(frozen=True)
class Fit:
    """``text`` is added ("+"), subtracted ("-"), multiplied by ("*"), divided by ("/") or written instead ("= +", "= -")."""

    sign: str
    text: str


@dataclass
class Wanted:
    """An expression that needs another value: what it is, and what is in scope, in a run in which it has that value."""

    need: Need
    now: Values
    scopes: Scopes
    factors: dict[float, str]  # numbers that a term may have been multiplied by, and the expressions for them

    def __post_init__(self) -> None:
        self.atoms = _atoms(self.scopes)

    def fits(self, stage: Callable[..., Batches], watch: Stopwatch, seconds: float) -> list[Fit]:
        """The expressions of a stage that fit, the shortest first."""
        now = np.concatenate([value.ravel() for value in self.now])
        found: list[Fit] = []
        with np.errstate(all="ignore"):
            for texts, matrix in stage(self.atoms, self.need.shapes):
                found += _fitting(self.need, texts, matrix, now, self.factors)
                if watch.spent > seconds:
                    break
        return sorted(found, key=lambda fit: (len(fit.text), fit.sign))[:FITS]


def fits(wanted: list[Wanted], seconds: float) -> list[tuple[int, Fit]]:
    """What fits, of the simplest kind that does for one of them; by its number."""
    watch = Stopwatch()
    for stage in STAGES:
        found = [(number, fit) for number, each in enumerate(wanted) for fit in each.fits(stage, watch, seconds)]
        if found or watch.spent > seconds:
            return found
    return []


def _fitting(
    need: Need, texts: list[str], matrix: np.ndarray, now: np.ndarray, factors: dict[float, str]
) -> Iterator[Fit]:
    """Of expressions, and their values in the columns of a matrix: which serve, and how."""
    matrix = np.where(np.isfinite(matrix).all(0), matrix, 0)
    times = {"*": now[:, None] * matrix, "/": now[:, None] / np.where(matrix == 0, np.inf, matrix)}
    for sign, values in times.items():
        for number in np.flatnonzero(need.fits(values - now[:, None])):
            yield Fit(sign, texts[number])
    effect = need.jacobian @ matrix
    for what, lack in (("", need.lack), ("= ", need.lack + need.jacobian @ now)):
        for place, sign, factor in _multiples(effect, lack, factors):
            yield Fit(what + sign, _times(factor, texts[place]))


def _multiples(effect: np.ndarray, lack: np.ndarray, factors: dict[float, str]) -> Iterator[tuple[int, str, str]]:
    """The columns of ``effect`` that are what lacks but for a number that has a name; their signs, and these names."""
    square = (effect**2).sum(0)
    scale = np.where(square > 0, lack @ effect / np.where(square > 0, square, 1), 0)
    good = np.abs(effect * scale - lack[:, None]).max(0) <= RIGHT
    for number in np.flatnonzero(good):
        size = abs(scale[number])
        names = ("1" if each == 1.0 else name for each, name in factors.items() if abs(size / each - 1) < 1e-4)
        if name := next(names, ""):
            yield int(number), "+" if scale[number] > 0 else "-", name


def _times(factor: str, text: str) -> str:
    if factor == "1":
        return text
    return f"{text} / {factor.removeprefix('1 / ')}" if factor.startswith("1 / ") else f"{factor} * {text}"


# --- Expressions, simple ones first ----------------------------------------------------------------------------------


def _in_batches(expressions: Callable[[dict[str, Values], Shapes], Found]) -> Callable[..., Batches]:
    """Expressions that are computed one by one, those of fitting shape together in a matrix."""

    def batches(atoms: dict[str, Values], shapes: Shapes) -> Batches:
        texts: list[str] = []
        columns: list[np.ndarray] = []
        for text, values in expressions(atoms, shapes):
            if values is not None and _broadcast(values, shapes):
                texts.append(text)
                columns.append(_flat(values, shapes))
            if len(texts) == BATCH:
                yield texts, np.stack(columns, 1)
                texts, columns = [], []
        if texts:
            yield texts, np.stack(columns, 1)

    return batches


def _flat(values: Values, shapes: Shapes) -> np.ndarray:
    pairs = zip(values, shapes, strict=True)
    return np.concatenate([np.broadcast_to(value, shape).ravel() for value, shape in pairs])


def _that_fit(atoms: dict[str, Values], shapes: Shapes) -> tuple[list[str], np.ndarray]:
    """The arrays whose elements can be multiplied, and their values in columns."""
    fitting = {text: _flat(values, shapes) for text, values in atoms.items() if _broadcast(values, shapes)}
    size = sum(int(np.prod(shape)) for shape in shapes)
    return [*fitting], np.stack([*fitting.values()], 1) if fitting else np.zeros((size, 0))


def _all_forms(atoms: dict[str, Values], shapes: Shapes) -> tuple[list[str], np.ndarray]:
    return _that_fit({form.format(t): values for t, atom in atoms.items() for form, values in _forms(atom)}, shapes)


def _simple(atoms: dict[str, Values], shapes: Shapes) -> Batches:
    yield _all_forms(atoms, shapes)


def _pairs(atoms: dict[str, Values], shapes: Shapes) -> Batches:
    texts, columns = _that_fit(atoms, shapes)
    for number, one in enumerate(texts):
        column, others = columns[:, number : number + 1], columns[:, number + 1 :]
        for sign, values in (("*", column * others), ("-", column - others), ("+", column + others)):
            around = "{} * {}" if sign == "*" else f"({{}} {sign} {{}})"
            yield [around.format(one, two) for two in texts[number + 1 :]], values


def _products(atoms: dict[str, Values], shapes: Shapes) -> Batches:
    texts, columns = _that_fit(atoms, shapes)
    forms, values = _all_forms(atoms, shapes)
    for one, column in zip(texts, columns.T, strict=True):
        yield [f"{one} * {two}" for two in forms], column[:, None] * values
        yield [f"{one} / {two}" for two in forms], column[:, None] / values


def _triples(atoms: dict[str, Values], shapes: Shapes) -> Batches:
    texts, columns = _that_fit(atoms, shapes)
    forms, values = _all_forms(atoms, shapes)
    for (one, a), (two, b) in itertools.combinations(zip(texts, columns.T, strict=True), 2):
        yield [f"{one} * {two} * {three}" for three in forms], (a * b)[:, None] * values


def _matrix_products(atoms: dict[str, Values], shapes: Shapes) -> Found:
    for (one, a), (two, b) in itertools.product(atoms.items(), repeat=2):
        dimensions = a[0].ndim, b[0].ndim
        if dimensions == (1, 1) and len(shapes[0]) == 2:
            yield f"np.outer({one}, {two})", _each(np.outer, a, b)
        elif dimensions == (2, 1) and len(shapes[0]) == 1:
            yield f"{one} @ {two}", _each(np.matmul, a, b)
            yield f"{one}.T @ {two}", _each(lambda x, y: x.T @ y, a, b)
        elif dimensions[0] == dimensions[1] == len(shapes[0]) >= 2:
            turn = ".T" if a[0].ndim == 2 else ".swapaxes(-1, -2)"
            for first, second in itertools.product((False, True), repeat=2):
                text = f"{one}{turn * first} @ {two}{turn * second}"
                yield text, _each(lambda x, y, f=first, s=second: _turned(x, f) @ _turned(y, s), a, b)
        elif dimensions[0] > dimensions[1] == 2 and len(shapes[0]) == dimensions[0]:
            yield f"{one} @ {two}", _each(np.matmul, a, b)
            yield f"{one} @ {two}.T", _each(lambda x, y: x @ y.T, a, b)


def _turned(array: np.ndarray, turned: bool) -> np.ndarray:
    return array.swapaxes(-1, -2) if turned else array


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
    """Of two arrays: what a softmax or a norm lacks, and the gradient of a softmax."""
    for (one, a), (two, b) in itertools.product(atoms.items(), repeat=2):
        product = _each(np.multiply, a, b)
        for axis, name in itertools.product((-1, 0), ("mean", "sum")):
            total = _reduced(product, name, axis)
            text = f"({one} * {two}).{name}({axis}, keepdims=True)"
            yield f"{one} * {text}", _each(np.multiply, a, total)
            yield f"{one} * ({two} - {text})", _each(lambda x, y, z: x * (y - z), a, b, total)
            plain, text = _reduced(b, name, axis), f"{two}.{name}({axis}, keepdims=True)"
            yield f"{one} * {text}", _each(np.multiply, a, plain)
            yield f"np.exp({one}) * {text}", _each(lambda x, y: np.exp(x) * y, a, plain)


def _reduced(values: Values | None, name: str, axis: int) -> Values | None:
    return _each(lambda x: getattr(x, name)(axis, keepdims=True), values)


STAGES = (
    _simple,
    _pairs,
    _products,
    _in_batches(_matrix_products),
    _in_batches(_sums),
    _in_batches(_weighted_sums),
    _triples,
)


def _atoms(scopes: Scopes) -> dict[str, Values]:
    """What is in scope at all visits, without what is the same as something before it."""
    found: dict[str, Values] = {}
    seen: set[bytes] = set()
    names = sorted(scopes[0], key=lambda text: (text.count("[") + text.count("."), len(text))) if scopes else []
    for text in names:
        if any(text not in scope for scope in scopes):
            continue
        whole = [np.asarray(scope[text], dtype=np.float64) for scope in scopes]
        if max(value.size for value in whole) > 2000:
            continue
        mark = b"".join(value.tobytes() + bytes(str(value.shape), "ascii") for value in whole)
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
    if all(value.ndim for value in atom):
        yield "{}[..., None]", [value[..., None] for value in atom]


def _each(operation: Function, *operands: Values | None) -> Values | None:
    """The operation at each visit; None if it cannot be done."""
    given = [operand for operand in operands if operand is not None]
    if len(given) < len(operands):
        return None
    try:
        return [operation(*values) for values in zip(*given, strict=True)]
    except (ValueError, np.exceptions.AxisError):
        return None


def _broadcast(values: Values, shapes: Shapes) -> bool:
    """They can be broadcast to the shapes."""
    for value, shape in zip(values, shapes, strict=True):
        found = np.shape(value)
        if len(found) > len(shape) or any(a not in (1, b) for a, b in zip(found[::-1], shape[::-1], strict=False)):
            return False
    return True
