"""Inputs from declarations of their shapes: ``x: (N, D), W: (D, H), labels: (N,) int < C``.

Every letter gets a size of its own, so that no axis is taken for another. After the shape may stand a kind (float, int, bool;
float if none does) and bounds (``> 0``, ``<= T``); a kind alone is a single number. A size may be reckoned: ``4H``, ``T + 1``.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scratchlv.errors import UserError

SIZES = {"N": 3, "T": 4, "D": 5, "H": 2}  # of the letters that most people use so; others get what is left
_IMAGE = {"H": 6, "W": 7}  # the sides of a picture, on which a kernel must fit
_TERM = r"(?:\d+(?:\.\d+)?(?:[A-Za-z_]\w*)?|[A-Za-z_]\w*)"
_SIZE = rf"-?{_TERM}(?:\s*(?://|[-+*])\s*{_TERM})*"
_BOUND = rf"(?:<=|>=|<|>)\s*{_SIZE}"
_KIND = r"float64|float32|float|int64|int32|integers|integer|int|bool"
_WHAT = rf"(?:(?P<shape>\([^()]*\))(?:\s*(?P<kind>{_KIND})\b)?|(?P<number>{_KIND})\b)(?P<bounds>(?:\s*{_BOUND})*)"
_DECLARATION = re.compile(rf"(?<![\w.])(?P<name>[A-Za-z_]\w*)\s*:\s*{_WHAT}")
_ALONE = re.compile(rf"\s*{_WHAT}")
_OPERATIONS: dict[type, Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
}


@dataclass(frozen=True)
class Declared:
    """One input: the sizes of its axes, its kind, and the bounds of its numbers, as they are written."""

    name: str
    shape: tuple[str, ...] | None  # None: a single number
    kind: str = "float"
    bounds: tuple[tuple[str, str], ...] = ()  # such as ("<", "C")

    @property
    def letters(self) -> list[str]:
        """The names of the sizes that it is made of, in their order."""
        parts = [*(self.shape or ()), *(bound for _, bound in self.bounds)]
        return list(dict.fromkeys(letter for part in parts for letter in _letters(part)))


def parse(text: str) -> list[Declared]:
    """All that a text declares.

    Raises:
        UserError: it holds anything else.
    """
    declared, rest = [], text
    while rest.strip(" ,;\n"):
        found = _DECLARATION.match(rest.lstrip(" ,;\n"))
        if found is None:
            raise UserError(
                f"the shapes {text!r} cannot be read at {rest.strip(' ,;')[:20]!r}: write them like "
                '"x: (N, D), W: (D, H), labels: (N,) int < C"'
            )
        declared.append(_declared(found["name"], found))
        rest = rest.lstrip(" ,;\n")[found.end() :]
    return declared


def find(text: str, names: Iterable[str]) -> dict[str, Declared]:
    """What prose, such as a comment or a docstring, declares of some names; the rest of it is left alone.

    Understood besides are ``x: the input, of shape (N, D)`` and, after it, ``0 <= y[i] < C``.
    """
    found: dict[str, Declared] = {}
    for name in names:
        for pattern in (_DECLARATION, _of_shape(name)):
            for each in pattern.finditer(text):
                declared = _read(name, each) if each["name"] == name else None
                if declared is not None and name not in found and not _is_prose(each["shape"]):
                    found[name] = _with_range(declared, text[each.end() :])
    return found


def _of_shape(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.])(?P<name>{re.escape(name)})\s*:[^\n]*?\bshape:?\s*{_WHAT}")


def _is_prose(shape: str | None) -> bool:
    """Whether it is a word in brackets: ``(optional)`` is no shape, ``(N,)`` and ``(N)`` are."""
    return re.fullmatch(r"\([a-z]{3,}\)", shape or "") is not None


def _with_range(declared: Declared, rest: str) -> Declared:
    labels = re.match(rf"(?:(?!\n\W*\w+\s*:)[^:]){{,200}}?\b0\s*<=\s*{declared.name}(?:\[\w+\])?\s*<\s*({_TERM})", rest)
    return replace(declared, kind="int", bounds=(("<", labels[1]),)) if labels and not declared.bounds else declared


def alone(name: str, text: str) -> Declared | None:
    """What a comment or an annotation of one parameter declares, such as ``(N, D)``; None if it does not."""
    found = _ALONE.match(text)
    return _read(name, found) if found and not _is_prose(found["shape"]) else None


def _read(name: str, found: re.Match[str]) -> Declared | None:
    try:
        declared = _declared(name, found)
    except UserError:  # "x: (as above)" is prose
        return None
    return declared if declared.shape is not None or declared.bounds else None  # "eps: float" is a type, and no recipe


def _declared(name: str, found: re.Match[str]) -> Declared:
    kind = found["kind"] or found["number"] or "float"
    kind = next(each for each in ("float", "int", "bool") if kind.startswith(each))
    bounds = re.findall(r"(<=|>=|<|>)\s*([^<>=]+)", found["bounds"])
    shape = None if found["shape"] is None else _axes(found["shape"])
    declared = Declared(name, shape, kind, tuple((sign, bound.strip()) for sign, bound in bounds))
    for part in [*(shape or ()), *(bound for _, bound in declared.bounds)]:
        _reckoned(part)
    return declared


def _axes(shape: str) -> tuple[str, ...]:
    return tuple(axis.strip() for axis in shape.strip("()").split(",") if axis.strip())


# --- sizes -----------------------------------------------------------------------------------------------------------


def _reckoned(text: str) -> ast.expr:
    """A size as an expression of names and numbers.

    Raises:
        UserError: it is none.
    """
    try:
        node = ast.parse(re.sub(r"(?<![\w.])(\d+)\s*(?=[A-Za-z_])", r"\1*", text).strip(), mode="eval").body
    except SyntaxError:
        node = ast.Constant(None)
    for part in ast.walk(node):
        if isinstance(part, ast.BinOp) and type(part.op) in _OPERATIONS:
            continue
        if isinstance(part, ast.Constant) and type(part.value) in (int, float):
            continue
        if not isinstance(part, ast.Name | ast.operator | ast.UnaryOp | ast.USub | ast.expr_context):
            raise UserError(f"{text!r} is no size: give a number, a name, or what is reckoned of them, such as 4*H")
    return node


def _letters(text: str) -> list[str]:
    return [node.id for node in ast.walk(_reckoned(text)) if isinstance(node, ast.Name)]


def _value(text: str, sizes: Mapping[str, int]) -> Any:
    def of(node: ast.expr) -> Any:
        if isinstance(node, ast.BinOp):
            return _OPERATIONS[type(node.op)](of(node.left), of(node.right))
        if isinstance(node, ast.UnaryOp):
            return -of(node.operand)
        return sizes[node.id] if isinstance(node, ast.Name) else node.value  # type: ignore[attr-defined]

    return of(_reckoned(text))


def sizes_of(declared: Iterable[Declared]) -> dict[str, int]:
    """A size for every letter, each another: 3, 4, 5 and 2 for N, T, D and H, and what is left for others."""
    declared = list(declared)
    letters = list(dict.fromkeys(letter for each in declared for letter in each.letters))
    taken = {int(axis) for each in declared for axis in each.shape or () if axis.isdecimal()}
    pictures = any(len(each.shape or ()) > 2 and {"H", "W"} <= set(each.shape or ()) for each in declared)
    usual = SIZES | (_IMAGE if pictures else {})
    sizes = {letter: usual[letter] for letter in letters if letter in usual}
    free = (n for n in itertools.count(2) if n not in taken and n not in sizes.values())
    return {letter: sizes[letter] if letter in sizes else next(free) for letter in letters}


# --- numbers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """Inputs of any sizes; of the same seed, those whose shape stays are the same."""

    declared: tuple[Declared, ...]
    sizes: dict[str, int]
    seed: int = 0

    def __call__(self, **sizes: int) -> dict[str, Any]:
        """The inputs, with some of the sizes changed; those that no input has are passed over."""
        known = self.sizes | {letter: size for letter, size in sizes.items() if letter in self.sizes}
        rngs = (np.random.default_rng((self.seed, i)) for i in range(len(self.declared)))
        return {each.name: draw(each, known, rng) for each, rng in zip(self.declared, rngs, strict=True)}


def recipe(declared: Iterable[Declared] | str, seed: int = 0) -> Recipe:
    """The recipe of some declarations; a text is parsed first."""
    declared = tuple(parse(declared) if isinstance(declared, str) else declared)
    return Recipe(declared, sizes_of(declared), seed)


def draw(declared: Declared, sizes: Mapping[str, int], rng: np.random.Generator) -> Any:
    """Random numbers: floats are normal, or within their bounds; whole ones are uniform below their bound.

    Raises:
        UserError: whole numbers have no bound, or there are none within it; an axis has a negative length.
    """
    shape = None if declared.shape is None else tuple(_value(axis, sizes) for axis in declared.shape)
    if any(not isinstance(n, int) or n < 0 for n in shape or ()):
        raise UserError(f"{declared.name} would have the shape {shape}: give sizes that are whole numbers, 0 or more")
    if declared.kind == "bool":
        return rng.random(shape) < 0.5 if shape is not None else bool(rng.random() < 0.5)
    low, high = _bounds(declared, sizes)
    if declared.kind == "int":
        return _whole(declared, low, high, shape, rng)
    if math.isfinite(low) and math.isfinite(high):
        gap = 0.05 * (high - low)
        return rng.uniform(low + gap, high - gap, shape)
    normal = rng.standard_normal(shape)
    if math.isfinite(low):
        return low + 0.1 + np.abs(normal)
    return high - 0.1 - np.abs(normal) if math.isfinite(high) else normal


def _bounds(declared: Declared, sizes: Mapping[str, int]) -> tuple[float, float]:
    """The smallest and the largest number that is allowed; of whole numbers, both are."""
    low, high = -math.inf, math.inf
    whole = declared.kind == "int"
    for sign, text in declared.bounds:
        bound = _value(text, sizes)
        if sign[0] == ">":
            low = max(low, bound + (sign == ">" and whole))
        else:
            high = min(high, bound - (sign == "<" and whole))
    return low, high


def _whole(declared: Declared, low: float, high: float, shape: Any, rng: np.random.Generator) -> Any:
    if not math.isfinite(high):
        raise UserError(
            f"{declared.name} is int without a bound: say below what its numbers are, as in {declared.name}: (N,) int < C"
        )
    low = max(low, 0) if not math.isfinite(low) else low
    if low > high:
        raise UserError(f"{declared.name} can be no whole number from {low:g} to {high:g}: give other bounds")
    drawn = rng.integers(int(low), int(high) + 1, shape)
    return int(drawn) if shape is None else drawn
