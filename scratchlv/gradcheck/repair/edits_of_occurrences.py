"""Edits of a variable wherever a statement names it, and exchanges of two of them, in one statement or in two."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from scratchlv.gradcheck.repair.edits import Edit, Slot, parsed
from scratchlv.gradcheck.repair.edits_of_statements import Line
from scratchlv.gradcheck.repair.facts import Facts, is_number, is_whole, shape_of

NEAR = 4  # statements between which names are exchanged


def occurrence_edits(line: Line) -> Iterator[Edit]:
    here = _named(line.statement, line.facts)
    yield from _all_occurrences(line, here)
    yield from _exchanged_here(line, here)
    yield from _exchanged_with_others(line, here)


Named = dict[str, list[tuple[Slot, ast.expr]]]


def _named(statement: ast.stmt, facts: Facts) -> Named:
    """Where a statement, without those inside of it, reads a variable, or an item or attribute of one."""
    found: Named = {}

    def below(node: ast.AST) -> None:
        for name, value in ast.iter_fields(node):
            listed = isinstance(value, list)
            for index, child in enumerate(value) if listed else [(None, value)]:
                if not isinstance(child, ast.AST) or isinstance(child, ast.stmt):
                    continue
                stored = isinstance(getattr(child, "ctx", None), ast.Store | ast.Del)
                known = not stored and not _is_derived(child) and shape_of(facts.value(child)) is not None
                if isinstance(child, ast.Name | ast.Attribute | ast.Subscript) and known:
                    found.setdefault(ast.unparse(child), []).append(((node, name, index), child))
                    if isinstance(child, ast.Subscript):
                        below(child.slice)
                        _index(child, found, facts)
                else:
                    below(child)

    below(statement)
    return found


def _index(node: ast.Subscript, found: Named, facts: Facts) -> None:
    if isinstance(node.slice, ast.Name) and shape_of(facts.value(node.slice)) is not None:
        found.setdefault(node.slice.id, []).append(((node, "slice", None), node.slice))


def _is_derived(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("T", "shape", "size", "ndim")


def _changes(places: list[tuple[Slot, ast.expr]], text: str) -> list[tuple[Slot, Callable[[], Any]]]:
    return [(slot, lambda: parsed(text)) for slot, _ in places]


def _all_occurrences(line: Line, here: Named) -> Iterator[Edit]:
    for text, places in here.items():
        if len(places) < 2:
            continue
        value = line.facts.value(places[0][1])
        new = [other for other, held in line.scope.items() if shape_of(held) == shape_of(value) and other != text]
        if is_whole(value):
            numbers = [other for other, held in line.scope.items() if is_whole(held) and other != text]
            new += [f"({text} * {other})" for other in numbers] + [f"({text} - 1)", f"({text} + 1)"]
        for other in new:
            yield line.edits(_changes(places, other), f"with {other} for each {text}", "", 2.0)


def _exchanged_here(line: Line, here: Named) -> Iterator[Edit]:
    for (one, ones), (two, twos) in itertools.combinations(here.items(), 2):
        a, b = line.facts.value(ones[0][1]), line.facts.value(twos[0][1])
        if shape_of(a) == shape_of(b) and is_number(a) == is_number(b):
            changes = _changes(ones, two) + _changes(twos, one)
            yield _exchange(line.edits(changes, f"with {one} and {two} exchanged", "exchanged", 1.5), one, two, a, b)


def _exchanged_with_others(line: Line, here: Named) -> Iterator[Edit]:
    """A name here and one in a statement nearby: ``di = dc * i`` and ``dg = dc * g``."""
    if line.facts.shape(getattr(line.statement, "value", line.statement)) is None:
        return
    for other in line.block[line.index + 1 : line.index + 1 + NEAR]:
        if not isinstance(other, ast.Assign | ast.AugAssign):
            continue
        there = _named(other, line.facts)
        for (one, ones), (two, twos) in itertools.product(here.items(), there.items()):
            a, b = line.facts.value(ones[0][1]), line.facts.value(twos[0][1])
            if one != two and shape_of(a) == shape_of(b) and shape_of(a):
                how = f"with {one} and {two} of line {other.lineno} exchanged"
                edit = line.edits(_changes(ones, two) + _changes(twos, one), how, "exchanged", 2.5)
                yield _exchange(edit, one, two, a, b)


def _exchange(edit: Edit, one: str, two: str, *values: Any) -> Edit:
    edit.details = {"pair": f"{one} and {two}"}
    edit.exchanged = values
    return edit
