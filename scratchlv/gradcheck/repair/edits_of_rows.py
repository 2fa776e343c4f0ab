"""Edits of statements that put numbers at places which an array of whole numbers says: rows, labels, maxima."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from scratchlv.gradcheck.repair.edits import Edit, name_of
from scratchlv.gradcheck.repair.edits_of_statements import Line, block_of, call, target_of, with_next
from scratchlv.gradcheck.repair.facts import is_whole

Place = tuple[
    str, int
]  # an expression for an array of whole numbers, of as many axes as what is set; and the axis they are of


def row_edits(line: Line) -> Iterator[Edit]:
    for kind in (_rows, _along_axis, _less_one, _ones):
        yield from kind(line)


def _rows(line: Line) -> Iterator[Edit]:
    """np.add.at where rows may repeat."""
    statement = line.statement
    target, value, numpy = target_of(statement), getattr(statement, "value", None), line.facts.numpy
    if value is None or not numpy:
        return
    if isinstance(statement, ast.AugAssign) and isinstance(target, ast.Name):
        yield from _to_rows(line, statement, target)
    if not isinstance(target, ast.Subscript):
        return
    parts = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
    if not any(isinstance(line.facts.value(each), np.ndarray | list) for each in parts):
        return
    pieces = [*map(_as_object, parts)]
    where = pieces[0] if len(pieces) == 1 else f"({', '.join(pieces)})"
    subtracting = isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Sub)
    apart = 0.0 if _repeats([line.facts.value(each) for each in parts]) else 1.5
    for function in ("add", "subtract"):
        text = f"{numpy}.{function}.at({ast.unparse(target.value)}, {where}, V)"
        cost = apart if subtracting == (function == "subtract") else 3.0
        yield line.edit(partial(call, text, value, statement), f"with np.{function}.at", "repeated rows", cost)


def _to_rows(line: Line, statement: ast.AugAssign, target: ast.Name) -> Iterator[Edit]:
    """What is added row by row is added to the rows that an array of integers says."""
    held = line.scope.get(target.id)
    if not isinstance(held, np.ndarray) or not held.ndim or not isinstance(statement.op, ast.Add | ast.Sub):
        return
    function = "add" if isinstance(statement.op, ast.Add) else "subtract"
    for text, rows in line.scope.items():
        fits = isinstance(rows, np.ndarray) and rows.dtype.kind in "iu" and rows.shape == held.shape[:1] and rows.size
        if fits and rows.min() >= 0 and rows.max() < len(held):
            added = f"{line.facts.numpy}.{function}.at({target.id}, {text}, V)"
            new = partial(call, added, statement.value, statement)
            yield line.edit(new, f"with np.{function}.at", "wrong rows", 1.5, 3)


def _repeats(index: list[Any]) -> bool:
    """Whether arrays of integers say one place several times."""
    arrays = [np.asarray(each) for each in index if isinstance(each, np.ndarray | list | int | np.integer)]
    places = np.stack([each.ravel() for each in np.broadcast_arrays(*arrays)], 1)
    return len(np.unique(places, axis=0)) < len(places)


def _as_object(part: ast.expr) -> str:
    """An index outside of brackets."""
    if not isinstance(part, ast.Slice):
        return ast.unparse(part)
    return f"slice({', '.join(ast.unparse(each) if each else 'None' for each in (part.lower, part.upper, part.step))})"


def _along_axis(line: Line) -> Iterator[Edit]:
    """np.put_along_axis for a sum that gives everything to all places, or for a choice that is made once more."""
    statement, numpy = line.statement, line.facts.numpy
    target, value = target_of(statement), getattr(statement, "value", None)
    if not isinstance(target, ast.Name) or value is None or not numpy:
        return
    if isinstance(value, ast.Call) and name_of(value.func) == "take_along_axis" and len(value.args) >= 2:
        rest = ", ".join(ast.unparse(each) for each in value.args[1:2])
        axes = [*value.args[2:], *(each.value for each in value.keywords)]
        along = ast.unparse(axes[0]) if axes else "-1"
        taken = ast.unparse(value.args[0])
        lines = (
            f"{target.id} = {numpy}.zeros_like({taken})\n{numpy}.put_along_axis({target.id}, {rest}, {taken}, {along})"
        )
        how = "with np.put_along_axis into zeros for np.take_along_axis"
        yield line.edit(partial(_statements, lines, statement), how, "taken back", 0.8, 3)
    held = line.scope.get(target.id)
    given = line.facts.shape(value)
    if not isinstance(statement, ast.AugAssign) or not isinstance(held, np.ndarray) or given is None:
        return
    for text, axis in _places(line, held.shape):
        shape = [*held.shape]
        shape[axis] = 1
        alone = len(given) == held.ndim - 1
        if not _spreads((*given[:axis], 1, *given[axis:]) if alone else given, tuple(shape)):
            continue
        shown = f"{numpy}.expand_dims(V, {axis})" if alone else "V"
        new = partial(call, f"{numpy}.put_along_axis({target.id}, {text}, {shown}, {axis})", value, statement)
        yield line.edit(new, "with np.put_along_axis", "all places", 0.8, 3)


def _places(line: Line, shape: tuple[int, ...]) -> Iterator[Place]:
    """Arrays of whole numbers that choose one place along an axis of an array of this shape."""
    for text, chosen in line.scope.items():
        if not isinstance(chosen, np.ndarray) or chosen.dtype.kind not in "iu" or not chosen.size or not chosen.ndim:
            continue
        for axis, length in enumerate(shape):
            if chosen.min() < 0 or chosen.max() >= length:
                continue
            if chosen.shape == (*shape[:axis], *shape[axis + 1 :]):
                yield f"{line.facts.numpy}.expand_dims({text}, {axis})", axis
            elif chosen.shape == (*shape[:axis], 1, *shape[axis + 1 :]):
                yield text, axis


def _spreads(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return len(small) == len(large) and all(a in (1, b) for a, b in zip(small, large, strict=True))


def _statements(text: str, at: ast.stmt) -> ast.stmt:
    body = ast.parse(text).body
    for node in (node for each in body for node in ast.walk(each)):
        ast.copy_location(node, at)
    return block_of(body, at)


def _ones(line: Line) -> Iterator[Edit]:
    """Where the labels are, one is put into zeros that nothing was put into."""
    statement, numpy = line.statement, line.facts.numpy
    if not isinstance(statement, ast.Assign) or len(statement.targets) > 1 or not numpy:
        return
    target, held = statement.targets[0], line.facts.value(statement.value)
    if not isinstance(target, ast.Name) or not isinstance(held, np.ndarray) or held.ndim < 2 or held.any():
        return
    for text, axis in _places(line, held.shape):
        label = text.partition("expand_dims(")[2].rpartition(",")[0]
        whole = axis == held.ndim - 1 == 1 and label
        place = f"{target.id}[{numpy}.arange(len({label})), {label}] = 1"
        added = place if whole else f"{numpy}.put_along_axis({target.id}, {text}, 1, {axis})"
        edit = line.edit(
            partial(with_next, statement, added), f"followed by {added}", "one-hot", 0.5 + axis % 2 * -0.1, 3
        )
        edit.adds = True
        yield edit


def _less_one(line: Line) -> Iterator[Edit]:
    """After this line one is subtracted where the labels are, as a softmax minus its one-hot targets."""
    statement, numpy = line.statement, line.facts.numpy
    target = target_of(statement)
    if not isinstance(target, ast.Name | ast.Attribute) or not isinstance(statement, ast.Assign):
        return
    held, name = line.facts.value(statement.value), ast.unparse(target)
    if not isinstance(held, np.ndarray) or held.dtype.kind != "f" or not held.ndim:
        return
    for text, value in line.scope.items():
        rows = isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.shape == held.shape[:-1]
        single = is_whole(value) and held.ndim <= 2 and ("[" in text or "." in text or text[:1] in "ty")
        if rows and value.ndim == 1 and numpy:
            place = f"{numpy}.arange(len({text})), {text}"
        elif single:
            place = text
        else:
            continue
        new = partial(with_next, statement, f"{name}[{place}] -= 1")
        edit = line.edit(new, f"followed by {name}[{place}] -= 1", "target", 1.5, 3)
        edit.adds = True
        yield edit
