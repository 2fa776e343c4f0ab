"""Edits of what something is divided by: the length of another axis, how many places count, a number for each row."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.repair.edits import Draft, Site, parsed
from scratchlv.gradcheck.repair.facts import is_number, is_whole

MOST_LENGTHS = 24
SHORT = 24  # characters of a number's expression that is shown


def denominators(site: Site) -> Iterator[Draft]:
    """Another count for the one that a mean divides by."""
    if not _is_denominator(site) or not _is_count(site.facts.value(site.node)):
        return
    now = float(site.facts.value(site.node))
    for text, value in _counts(site):
        if float(value) != now and float(value) not in (0.0, 1.0):
            yield Draft(
                "S", f"with {text} for {site.text}", *_key(site, text, 0.9), {"S": parsed(text)}, _details(site, text)
            )
    for text, value in site.scope.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or not value.ndim:
            continue
        if value.size and bool(np.isin(value, (0, 1)).all()):
            yield Draft("S.sum()", f"with {text}.sum() for {site.text}", "mask in the mean", 1.2, {"S": parsed(text)})
        elif value.dtype.kind in "iu" and (value > 0).all():
            around = site.facts.shape(site.parent) or ()
            for index in _spread(value.shape, around):
                yield Draft(f"S{index}", "", "mask in the mean" if "len" in text else "", 1.6, {"S": parsed(text)})


def _key(site: Site, text: str, cost: float) -> tuple[str, float]:
    short = max(len(text), len(site.text)) <= SHORT
    return ("another mean" if short else "mask in the mean"), cost + 0.1 * (text.count("[") + text.count("."))


def _details(site: Site, text: str) -> dict[str, str]:
    return {"one": site.text, "other": text}


def _is_denominator(site: Site) -> bool:
    parent = site.parent
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Div):
        return parent.right is site.node
    return isinstance(parent, ast.AugAssign) and isinstance(parent.op, ast.Div) and parent.value is site.node


def _is_count(value: Any) -> bool:
    return (is_number(value) or isinstance(value, np.ndarray) and value.ndim == 0) and float(value) == int(value) > 0


def _counts(site: Site) -> Iterator[tuple[str, Any]]:
    """Whole numbers in scope, and the lengths of arrays."""
    yield from ((text, value) for text, value in site.scope.items() if is_whole(value) and "[" not in text)
    arrays = ((text, value) for text, value in site.scope.items() if isinstance(value, np.ndarray) and value.ndim)
    lengths = ((f"{text}.shape[{axis}]", n) for text, value in arrays for axis, n in enumerate(value.shape))
    for number, each in enumerate(lengths):
        if number == MOST_LENGTHS:
            return
        yield each


def _spread(shape: tuple[int, ...], around: tuple[int, ...]) -> Iterator[str]:
    """Indices that make an array of this shape fit the leading or the last axes of another one."""
    if len(shape) <= len(around) and shape == around[len(around) - len(shape) :]:
        yield ""
    if len(shape) < len(around) and shape == around[: len(shape)]:
        yield f"[{', '.join([':'] * len(shape) + ['None'] * (len(around) - len(shape)))}]"
