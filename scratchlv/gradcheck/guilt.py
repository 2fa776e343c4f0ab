"""Which lines can be guilty: those that move the wrong gradients, and not the right ones."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.edits import Edit, Slot
from scratchlv.gradcheck.edits_of_statements import lines
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.facts import Facts, moved
from scratchlv.gradcheck.source import Function

UNKNOWN = 1.0
INNOCENT = 4.0


class Guilt:
    """What it costs an edit to be where it is: 0 where a bug would do just what is seen."""

    def __init__(
        self,
        function: Function,
        facts: Facts,
        evidence: Evidence,
        wrong: set[str],
        gradients: Callable[[], dict[str, Any]],
    ) -> None:
        self._wrong, self._failing = wrong, None
        self._moves: dict[ast.AST, set[str] | None] = {}
        try:
            before = {name: np.array(grad) for name, grad in gradients().items()}
        except Exception:  # the line that raised, or one that made what it could not use
            self._failing = facts.last
            return
        self._right = set(before) - wrong
        for slot, held in _slots(function, facts):
            self._moves[held] = moved(function, slot, before, gradients)

    def of(self, edit: Edit) -> float:
        if self._failing is not None:
            return 0.0 if edit.statement is self._failing else 2.0
        if edit.site is not None:
            for node in (edit.site.node, *reversed(edit.site.parents)):
                if node in self._moves:
                    return self._cost(self._moves[node])
            return UNKNOWN
        inside = [self._moves[node] for node in ast.walk(edit.statement) if node in self._moves]
        return min(map(self._cost, inside), default=UNKNOWN)

    def _cost(self, moves: set[str] | None) -> float:
        if moves is None:
            return UNKNOWN
        if not moves & self._wrong:
            return INNOCENT
        return (2.5 if self._wrong - moves else 0.0) + (2.0 if moves & self._right else 0.0)


def _slots(function: Function, facts: Facts) -> Iterator[tuple[Slot, ast.AST]]:
    """Values of assignments, each of several that are returned, and arguments of calls that stand alone."""
    node = function.node
    if isinstance(node, ast.Lambda):
        yield from _parts(node, "body")
        return
    for line in lines(function, facts):
        statement = line.statement
        if (
            isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return)
            and statement.value is not None
        ):
            yield from _parts(statement, "value")
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            for index, argument in enumerate(statement.value.args[1:], 1):
                yield (statement.value, "args", index), argument


def _parts(owner: ast.AST, name: str) -> Iterator[tuple[Slot, ast.AST]]:
    value = getattr(owner, name)
    if isinstance(value, ast.IfExp) and isinstance(value.test, ast.Constant):
        yield from _parts(value, "body")
    elif isinstance(value, ast.Tuple | ast.List):
        for index, each in enumerate(value.elts):
            if not isinstance(each, ast.Starred):
                yield (value, "elts", index), each
    elif isinstance(value, ast.Dict):
        for index, each in enumerate(value.values):
            yield (value, "values", index), each
    else:
        yield (owner, name, None), value
