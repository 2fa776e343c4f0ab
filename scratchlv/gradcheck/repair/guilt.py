"""Which lines can be guilty: those that move the wrong gradients, and where another value would make every gradient right."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.repair.edits import Edit, Slot
from scratchlv.gradcheck.repair.edits_of_statements import lines
from scratchlv.gradcheck.repair.facts import Facts, moved
from scratchlv.gradcheck.repair.needed import Inquiry, Need
from scratchlv.gradcheck.repair.source import Function

UNKNOWN = 1.0
DOUBT = 1.7  # about what cannot be told, where another value elsewhere would serve
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
        seconds: float,
    ) -> None:
        self.facts, self._wrong, self._failing = facts, wrong, None
        self._moves: dict[ast.AST, set[str] | None] = {}
        self.needs: list[tuple[Slot, ast.expr, ast.stmt, Need]] = []  # where another value would make everything right
        self._could: set[ast.AST] = set()
        self._innocent: set[ast.AST] = set()
        try:
            before = {name: np.array(grad) for name, grad in gradients().items()}
        except Exception:  # the line that raised, or one that made what it could not use
            self._failing = facts.last
            return
        self._right = set(before) - wrong
        slots = list(_slots(function, facts))
        for slot, held, _ in slots:
            self._moves[held] = moved(function, slot, before, gradients)
        if set(evidence.analytic) >= wrong:
            self._inquire(Inquiry(function, facts, evidence, gradients, seconds), slots)

    def _inquire(self, inquiry: Inquiry, slots: list[tuple[Slot, ast.expr, ast.stmt]]) -> None:
        """Of the values that move what is wrong; and where one could be guilty, of its parts."""
        todo = [each for each in slots if (moves := self._moves[each[1]]) is None or moves >= self._wrong]
        while todo:
            slot, held, statement = todo.pop(0)
            answer = inquiry.ask(slot)
            if answer:
                self._could.add(held)
                if held in inquiry.needs:
                    self.needs.append((slot, held, statement, inquiry.needs[held]))
            if answer is not False:
                todo += [(slot, child, statement) for slot, child in _operands(held)]
        self._innocent = inquiry.innocent

    def of(self, edit: Edit) -> float:
        if self._failing is not None:
            return 0.0 if edit.statement is self._failing else 2.0
        if edit.site is None or edit.site.is_stored:
            least = self.least(edit.statement)
            return min(least, 1.0 if self._could else 0.5) if edit.wide else least
        inside: ast.AST | None = None
        for node in (edit.site.node, *reversed(edit.site.parents)):
            if node in self._innocent and self.facts.shape(node) != self._whole(edit):
                inside = node  # innocent in its shape: what is broadcast to more could serve
            elif node in self._could or node in self._innocent or node in self._moves:
                return self._cost(node) + (0.5 if inside is not None else 0.0)
        return UNKNOWN if inside is None else self._cost(inside)

    def _whole(self, edit: Edit) -> tuple[int, ...] | None:
        """The shape of the whole value that the edited expression is a part of."""
        assert edit.site is not None
        above = [node for node in (*edit.site.parents, edit.site.node) if node in self._moves]
        return self.facts.shape(above[0]) if above else None

    def least(self, statement: ast.stmt) -> float:
        """Of an edit in this statement, without what is inside of a loop or condition."""
        if self._failing is not None:
            return 0.0 if statement is self._failing else 2.0
        inside = [self._cost(node) for node in _own(statement) if node in self._moves]
        return min(inside, default=UNKNOWN)

    def _cost(self, node: ast.AST) -> float:
        if node in self._could:
            return 0.0
        if node in self._innocent:
            return 3.0
        moves = self._moves.get(node)
        doubt = DOUBT if self._could else 0.0
        if moves is None:
            return UNKNOWN + doubt
        if not moves & self._wrong:
            return INNOCENT
        return (2.5 if self._wrong - moves else 0.0) + (2.0 if moves & self._right else 0.0) + doubt


def _own(statement: ast.stmt) -> Iterator[ast.AST]:
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        yield node
        todo += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]


def _slots(function: Function, facts: Facts) -> Iterator[tuple[Slot, ast.expr, ast.stmt]]:
    """Values of assignments, each of several that are returned, and arguments of calls that stand alone."""
    node = function.node
    if isinstance(node, ast.Lambda):
        yield from ((slot, held, function.statement) for slot, held in _parts(node, "body"))
        return
    for line in lines(function, facts):
        statement = line.statement
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return) and statement.value:
            yield from ((slot, held, statement) for slot, held in _parts(statement, "value"))
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            call = statement.value
            for index, argument in enumerate(call.args):
                if index or not isinstance(call.func, ast.Attribute) or call.func.attr != "at":
                    yield (call, "args", index), argument, statement


def _parts(owner: ast.AST, name: str) -> Iterator[tuple[Slot, ast.expr]]:
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


def _operands(node: ast.expr) -> Iterator[tuple[Slot, ast.expr]]:
    """The expressions that this one is made of, if they are numbers themselves."""
    if isinstance(node, ast.BinOp):
        yield (node, "left", None), node.left
        yield (node, "right", None), node.right
    elif isinstance(node, ast.UnaryOp):
        yield (node, "operand", None), node.operand
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
            yield (node.func, "value", None), node.func.value
        for index, argument in enumerate(node.args):
            yield (node, "args", index), argument
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.expr) and node.attr == "T":
        yield (node, "value", None), node.value
    elif isinstance(node, ast.List | ast.Tuple):
        for index, each in enumerate(node.elts):
            yield (node, "elts", index), each
