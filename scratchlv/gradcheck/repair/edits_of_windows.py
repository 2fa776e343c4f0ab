"""Edits of all indices of a place at once: a stride, an offset, a window that is moved, an array that is cut elsewhere."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from functools import partial

from scratchlv.gradcheck.repair.edits import Edit, Slot, base_of, parsed
from scratchlv.gradcheck.repair.edits_of_statements import Changes, Line
from scratchlv.gradcheck.repair.facts import is_whole

MOST_NUMBERS = 12  # whole numbers in scope that are tried


def window_edits(line: Line) -> Iterator[Edit]:
    counted = {base_of(loop.target) for loop in line.loops if isinstance(loop, ast.For)}
    whole = [text for text, value in line.scope.items() if is_whole(value)]
    numbers = sorted(whole, key=lambda text: text not in counted)[:MOST_NUMBERS]
    places = sorted(_subscripts(line.statement), key=lambda node: (node.lineno, node.col_offset))
    for node in places:
        if isinstance(node.ctx, ast.Store):
            yield from _strided(line, node, numbers, counted)
            yield from _offset(line, node, numbers)
            yield from _stepped(line, node, numbers, counted)
        yield from _moved(line, node, numbers, counted)
    yield from _cut_elsewhere(line, places, numbers)


def _subscripts(statement: ast.stmt) -> Iterator[ast.Subscript]:
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Subscript):
            yield node
        todo += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]


def _slots(node: ast.AST) -> Iterator[tuple[Slot, ast.Name]]:
    """The variables below a node, and where they stand."""
    for name, value in ast.iter_fields(node):
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.Name):
                yield (node, name, index), child
            elif isinstance(child, ast.AST):
                yield from _slots(child)


def _parts(node: ast.Subscript) -> list[tuple[Slot, ast.expr]]:
    if isinstance(node.slice, ast.Tuple):
        return [((node.slice, "elts", index), part) for index, part in enumerate(node.slice.elts)]
    return [((node, "slice", None), node.slice)]


def _strided(line: Line, node: ast.Subscript, numbers: list[str], counted: set[str]) -> Iterator[Edit]:
    """``i * stride : i * stride + k, j * stride : j * stride + k`` for ``i : i + k, j : j + k``."""
    sliced = [part for _, part in _parts(node) if isinstance(part, ast.Slice)]
    slots = [(slot, name) for part in sliced for slot, name in _slots(part) if name.id in counted]
    for other in [*numbers, "2", "3"] if slots else ():
        changes: Changes = [(slot, partial(parsed, f"({name.id} * {other})")) for slot, name in slots]
        if other not in counted:
            cost = 2.4 if other.isdigit() else 1.7 if other.split(".")[-1].lower() in ("s", "stride") else 2.0
            yield line.edits(changes, f"with each index of a window times {other}", "stride", cost)


def _offset(line: Line, node: ast.Subscript, numbers: list[str]) -> Iterator[Edit]:
    """``[n, c, h + a, w + b]`` for ``[n, c, a, b]``."""
    parts = [(slot, part) for slot, part in _parts(node) if is_whole(line.facts.value(part))][-2:]
    if len(parts) < 2:
        return
    (one, first), (two, second) = parts
    for left, right in itertools.permutations(numbers, 2):
        texts = f"{ast.unparse(first)} + {left}", f"{ast.unparse(second)} + {right}"
        changes: Changes = [(slot, partial(parsed, text)) for slot, text in zip((one, two), texts, strict=True)]
        yield line.edits(changes, f"with {texts[0]} and {texts[1]} as the place", "wrong rows", 2.5)


def _stepped(line: Line, node: ast.Subscript, numbers: list[str], counted: set[str]) -> Iterator[Edit]:
    """``[n, m * step + place]`` for ``[n, place]``."""
    parts = [(slot, part) for slot, part in _parts(node) if is_whole(line.facts.value(part))][-1:]
    for (slot, part), by, step in itertools.product(parts, sorted(counted & set(numbers)), numbers):
        if step not in counted:
            text = f"{by} * {step} + {ast.unparse(part)}"
            edit = line.edits(
                [(slot, partial(parsed, text))], f"with {text} for {ast.unparse(part)}", "wrong rows", 2.3
            )
            edit.of_place = True
            yield edit


def _moved(line: Line, node: ast.Subscript, numbers: list[str], counted: set[str]) -> Iterator[Edit]:
    """``[:, k : k + steps]`` for ``[:, :steps]``."""
    for slot, part in _parts(node):
        if not isinstance(part, ast.Slice) or part.step or not (part.lower or part.upper):
            continue
        lower, upper = (ast.unparse(each) if each else "" for each in (part.lower, part.upper))
        for by in numbers:
            start = f"{by} + {lower}" if lower else by
            text = f"{start}:{f'{by} + {upper}' if upper else ''}"
            if by not in (lower, upper):
                key = "wrong rows" if isinstance(node.ctx, ast.Store) else "wrong place"
                edit = line.edits(
                    [(slot, partial(_slice, text))],
                    f"with {text} for {ast.unparse(part)}",
                    key,
                    1.2 if by in counted else 2.3,
                )
                edit.of_place = isinstance(node.ctx, ast.Store)
                yield edit


def _cut_elsewhere(line: Line, places: list[ast.Subscript], numbers: list[str]) -> Iterator[Edit]:
    """``dz[:, H:], dz[:, :H]`` for ``dz[:, :H], dz[:, H:]``: where both parts of an array are taken."""
    for one, two in itertools.combinations(places, 2):
        if ast.unparse(one.value) != ast.unparse(two.value) or isinstance(one.ctx, ast.Store):
            continue
        cuts = [[(slot, part) for slot, part in _parts(each) if _is_cut(part)] for each in (one, two)]
        if any(len(each) != 1 for each in cuts):
            continue
        ((first, _),), ((second, _),) = cuts
        for number, sign in itertools.product(numbers, ("", "-")):
            for pair in ((f":{sign}{number}", f"{sign}{number}:"), (f"{sign}{number}:", f":{sign}{number}")):
                changes: Changes = [
                    (slot, partial(_slice, text)) for slot, text in zip((first, second), pair, strict=True)
                ]
                yield line.edits(changes, f"cut at {pair[0]} and {pair[1]}", "cut", 1.6)


def _slice(text: str) -> ast.expr:
    return parsed(f"_[{text}]").slice  # type: ignore[attr-defined]


def _is_cut(part: ast.expr) -> bool:
    return isinstance(part, ast.Slice) and bool(part.lower) != bool(part.upper) and not part.step
