"""Edits of whole statements: other assignments, other places, additions at repeated rows."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from scratchlv.gradcheck.repair.edits import Edit, Slot, base_of, build, is_in_time, parsed
from scratchlv.gradcheck.repair.facts import Facts, shape_of
from scratchlv.gradcheck.repair.source import Function

Assignment = ast.Assign | ast.AugAssign
Target = ast.Name | ast.Attribute | ast.Subscript
Changes = list[tuple[Slot, Callable[[], Any]]]
SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


@dataclass(eq=False)
class Line:
    """A statement, where it stands, and the loops around it."""

    statement: ast.stmt
    owner: ast.AST
    field: str
    index: int
    loops: tuple[ast.stmt, ...]
    facts: Facts
    function: Function

    @property
    def slot(self) -> Slot:
        return self.owner, self.field, self.index

    @property
    def block(self) -> list[ast.stmt]:
        return getattr(self.owner, self.field)

    @property
    def scope(self) -> dict[str, Any]:
        return self.facts.scopes.get(self.statement, {})

    @property
    def in_time(self) -> bool:
        """In a loop that runs backwards, or over a variable that counts time."""
        return is_in_time(self.loops)

    def edit(self, make: Callable[[], Any], how: str, key: str, cost: float, nodes: int = 0) -> Edit:
        return self.edits([(self.slot, make)], how, key, cost, nodes)

    def edits(self, changes: Changes, how: str, key: str, cost: float, nodes: int = 0) -> Edit:
        group = f"{id(self.statement)} statement"
        return Edit(tuple(changes), None, self.statement, how, key, cost, group, self.function, {}, nodes)


def lines(function: Function, facts: Facts) -> Iterator[Line]:
    def below(owner: ast.AST, loops: tuple[ast.stmt, ...]) -> Iterator[Line]:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(owner, name, [])
            if not isinstance(block, list):
                continue
            for index, statement in enumerate(block):
                if not isinstance(statement, ast.stmt):
                    continue
                yield Line(statement, owner, name, index, loops, facts, function)
                inner = (*loops, statement) if isinstance(statement, ast.For | ast.While) else loops
                yield from below(statement, inner)

    if not isinstance(function.node, ast.Lambda):
        yield from below(function.node, ())


def statement_edits(line: Line) -> Iterator[Edit]:
    for kind in (
        _assigned,
        _augmented,
        _deleted,
        _copied,
        _from_zero,
        exchanged,
        _moved,
        _exchanged_values,
        _carried,
        _followed,
    ):
        yield from kind(line)


def _assign(target: ast.expr, value: ast.expr, at: ast.stmt) -> ast.stmt:
    return ast.fix_missing_locations(ast.copy_location(ast.Assign([target], value), at))


def _augment(target: Target, op: ast.operator, value: ast.expr, at: ast.stmt) -> ast.stmt:
    return ast.fix_missing_locations(ast.copy_location(ast.AugAssign(target, op, value), at))


def _added(target: Target, sign: str, value: ast.expr, at: ast.stmt) -> ast.stmt:
    """``a = a + value``."""
    return _assign(target, build(f"T {sign} V", value, {"T": parsed(ast.unparse(target)), "V": value}), at)


def _assigned(line: Line) -> Iterator[Edit]:
    """+= for =, -= for =."""
    statement = line.statement
    if not isinstance(statement, ast.Assign) or len(statement.targets) > 1:
        return
    target, value = statement.targets[0], statement.value
    if not isinstance(target, Target) or _reads(value, target):  # a = a + b adds already
        return
    handed_on = line.in_time and not (isinstance(target, ast.Name) and _is_set_before(line))
    key = "= for += in time" if handed_on else "= for +="
    if handed_on and isinstance(target, ast.Name) and isinstance(value, ast.Subscript):
        # dh = dy[t]: what t + 1 gave is lost
        key = {"dh": "dh_next", "dc": "dc_next"}.get(target.id.lower()[:2], key)
    more = line.edit(partial(_augment, target, ast.Add(), value, statement), "with +=", key, 0.0 if line.loops else 1.0)
    more.of_place = bool(line.loops) and isinstance(target, ast.Subscript)  # where places overlap, no one value serves
    yield more
    yield line.edit(partial(_augment, target, ast.Sub(), value, statement), "with -=", key, 3.0)
    yield line.edit(partial(_added, target, "+", value, statement), f"with {ast.unparse(target)} +", key, 1.5, 2)
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
        yield line.edit(partial(_augment, target, ast.Sub(), value.operand, statement), "with -=", key, 1.0)


def _is_set_before(line: Line) -> bool:
    """Whether the same round sets the variable above this line: what is lost is then that, and no other step's."""
    target = target_of(line.statement)
    above = line.block[: line.index] if line.loops else []
    stores = (each for statement in above for each in ast.walk(statement) if isinstance(each, ast.Name))
    return any(each.id == base_of(target) and isinstance(each.ctx, ast.Store) for each in stores) if target else False


def _reads(value: ast.expr, target: ast.expr) -> bool:
    return any(isinstance(each, Target) and ast.unparse(each) == ast.unparse(target) for each in ast.walk(value))


def _augmented(line: Line) -> Iterator[Edit]:
    """= for +=, -= for +=."""
    statement = line.statement
    if not isinstance(statement, ast.AugAssign):
        return
    target, value = statement.target, statement.value
    key = "step twice" if line.loops else ""
    yield line.edit(partial(_assign, target, value, statement), "with =", key, 0.7)
    for op, sign in SIGNS.items():
        if isinstance(statement.op, op):
            if isinstance(target, ast.Name):
                new = partial(_added, target, sign, value, statement)
                yield line.edit(new, f"with {target.id} = {target.id} {sign}", "aliased", 2.0, 3)
        else:
            turned = sign in "+-" and isinstance(statement.op, ast.Add | ast.Sub)
            new = partial(_augment, target, op(), value, statement)
            yield line.edit(new, f"with {sign}=", "sign" if turned else "", 0.5 if turned else 1.5)


def call(text: str, value: ast.expr, at: ast.stmt) -> ast.stmt:
    return ast.fix_missing_locations(ast.copy_location(ast.Expr(build(text, value, {"V": value})), at))


def target_of(statement: ast.stmt) -> ast.expr | None:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return statement.targets[0]
    return statement.target if isinstance(statement, ast.AugAssign) else None


def _pass(at: ast.stmt) -> ast.stmt:
    return ast.copy_location(ast.Pass(), at)


def _deleted(line: Line) -> Iterator[Edit]:
    statement = line.statement
    if isinstance(statement, Assignment | ast.Expr | ast.If | ast.Continue | ast.Break | ast.Delete):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return
        cost = 1.5 if isinstance(statement, ast.AugAssign | ast.Expr | ast.Continue) else 2.5
        yield line.edit(lambda: _pass(statement), "without this line", "too much", cost)
    if isinstance(statement, ast.If):
        yield line.edit(lambda: block_of(statement.body, statement), "without the condition", "", 2.0)


def block_of(body: list[ast.stmt], at: ast.stmt) -> ast.stmt:
    return ast.copy_location(ast.If(ast.copy_location(ast.Constant(True), at), body, []), at)


def _copied(line: Line) -> Iterator[Edit]:
    statement = line.statement
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, Target):
        return
    if isinstance(line.facts.value(statement.value), np.ndarray):
        copied = build("V.copy()", statement, {"V": statement.value})
        yield line.edit(partial(_assign, statement.targets[0], copied, statement), "with .copy()", "aliased", 1.0, 2)


def _from_zero(line: Line) -> Iterator[Edit]:
    """What is added to later begins at zero."""
    statement = line.statement
    if not isinstance(statement, ast.Assign) or not line.facts.numpy:
        return
    target, value, held = statement.targets[0], statement.value, line.facts.value(statement.value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "copy":
        value = value.func.value
    if (
        isinstance(value, Target)
        and isinstance(target, ast.Name)
        and isinstance(held, np.ndarray)
        and held.dtype.kind == "f"
    ):
        zeros = build(f"{line.facts.numpy}.zeros_like(V)", statement, {"V": value})
        edit = line.edit(partial(_assign, target, zeros, statement), "with zeros", "not from zero", 1.5, 2)
        edit.details = {"which": ast.unparse(value)}
        yield edit


def exchanged(line: Line) -> Iterator[Edit]:
    """This line after one of the next three, or one of them before this."""
    block = line.block
    for distance in (1, 2, 3):
        if line.index + distance >= len(block) or isinstance(line.statement, ast.Return | ast.FunctionDef):
            return
        other = block[line.index + distance]
        if isinstance(other, ast.Return | ast.FunctionDef):
            return
        later = [*block[line.index + 1 : line.index + distance + 1], line.statement]
        earlier = [other, *block[line.index : line.index + distance]]
        for order in (later, earlier) if distance > 1 else (later,):
            changes = [
                ((line.owner, line.field, line.index + place), partial(_same, node)) for place, node in enumerate(order)
            ]
            yield line.edits([*changes], f"after line {other.lineno}", "", 1.3 + 0.5 * distance)


def _same(node: Any) -> Any:
    return node


def _moved(line: Line) -> Iterator[Edit]:
    """Into the loop before or after it; out of the loop that it is in."""
    statement, block, owner = line.statement, line.block, line.owner
    if not isinstance(statement, Assignment | ast.Expr):
        return
    before = block[line.index - 1] if line.index else None
    if isinstance(before, ast.For | ast.While):
        yield _into(line, before, [*before.body, statement], "inside of the loop before it")
    after = block[line.index + 1] if line.index + 1 < len(block) else None
    if isinstance(after, ast.For | ast.While):
        yield _into(line, after, [statement, *after.body], "inside of the loop after it")
    if line.loops and owner is line.loops[-1] and len(block) > 1:
        rest = [each for each in block if each is not statement]
        for first in (True, False):
            around = partial(_around, line.loops[-1], statement, first)
            changes: Changes = [((owner, "body", None), partial(_same, rest)), (_slot_of(owner, line), around)]
            yield line.edits(changes, f"{'before' if first else 'after'} the loop", "", 1.3 if first else 1.5)


def _into(line: Line, loop: ast.stmt, body: list[ast.stmt], how: str) -> Edit:
    changes: Changes = [(line.slot, partial(_pass, line.statement)), ((loop, "body", None), partial(_same, body))]
    return line.edits(changes, how, "", 1.2)


def _slot_of(statement: ast.AST, line: Line) -> Slot:
    for each in lines(line.function, line.facts):
        if each.statement is statement:
            return each.slot
    raise LookupError("a loop is a statement of its function")


def _around(loop: ast.stmt, statement: ast.stmt, first: bool) -> ast.stmt:
    return block_of([statement, loop] if first else [loop, statement], loop)


def _exchanged_values(line: Line) -> Iterator[Edit]:
    """The values of this assignment and of one of the next: gates in the wrong order."""
    statement = line.statement
    if not isinstance(statement, Assignment) or (shape := line.facts.shape(statement.value)) is None:
        return
    for other in line.block[line.index + 1 : line.index + 5]:
        if isinstance(other, Assignment) and line.facts.shape(other.value) == shape:
            changes: Changes = [
                ((statement, "value", None), partial(_same, other.value)),
                ((other, "value", None), partial(_same, statement.value)),
            ]
            how = f"with the values of lines {statement.lineno} and {other.lineno} exchanged"
            parts = base_of(target_of(statement) or statement) == base_of(target_of(other) or other)  # of one array
            edit = line.edits(changes, how, "exchanged" if parts else "gates", 2.0)
            edit.details = {"pair": f"the values of lines {statement.lineno} and {other.lineno}"} if parts else {}
            yield edit


def _carried(line: Line) -> Iterator[Edit]:
    """What a loop hands on from step to step is set, or scaled, at its end."""
    loop = line.statement
    if not isinstance(loop, ast.For):
        return
    stored = {base_of(each) for each in ast.walk(loop) if isinstance(getattr(each, "ctx", None), ast.Store)}
    used = {each.id for each in ast.walk(loop) if isinstance(each, ast.Name)}
    scope = line.facts.scopes.get(loop.body[-1], {})
    held = {name: value for name in sorted(used) if isinstance(value := scope.get(name), np.ndarray)}
    for (name, value), (text, shape) in itertools.product(held.items(), _values(scope)):
        if text == name or shape not in (value.shape, ()) or value.dtype.kind != "f":
            continue
        if name in stored and text in scope:
            yield _at_the_end(line, loop, name, f"{name} * {text}", 2.0 if shape else 0.8)
        elif name not in stored and shape == value.shape:
            yield _at_the_end(line, loop, name, text, 2.0 if np.any(value) else 1.5)


def _at_the_end(line: Line, loop: ast.For, name: str, text: str, cost: float) -> Edit:
    target = ast.copy_location(ast.Name(name, ast.Store()), loop)
    factor = text.removeprefix(f"{name} * ")
    key = {"dc": "dc_next", "dh": "dh_next"}.get(name[:2], "carry") if factor == text else "carry factor"
    new = _with_last(loop, target, text)
    edit = line.edits([((loop, "body", None), new)], f"followed by {name} = {text}", key, cost, 3)
    edit.details = {"which": factor if factor != text else ""}
    edit.statement, edit.adds = loop.body[-1], True
    return edit


def _with_last(loop: ast.For, target: ast.expr, text: str) -> Callable[[], list[ast.stmt]]:
    return lambda: [*loop.body, _assign(target, parsed(text), loop.body[-1])]


def _followed(line: Line) -> Iterator[Edit]:
    """The array that this line sets is scaled or masked in place after it."""
    target = target_of(line.statement)
    name = base_of(target) if target is not None else ""
    held = line.scope.get(name)
    later = line.block[line.index + 1 :]
    if held is None and later:
        held = line.facts.scopes.get(later[0], {}).get(name)
    if not isinstance(held, np.ndarray) or held.dtype.kind != "f":
        return
    for text, value in line.scope.items():
        shape = shape_of(value)
        number = shape == () and value not in (0, 1)
        if text == name or shape is None or text in line.facts.zeros.get(line.statement, ()):
            continue
        if number or shape == held.shape or _is_mask(value, held):
            rest = [":"] * len(shape) + ["None"] * (held.ndim - len(shape))
            factor = f"{text}[{', '.join(rest)}]" if shape and len(shape) < held.ndim else text
            for sign in ("*=", "/=") if number else ("*=",):
                new = partial(with_next, line.statement, f"{name} {sign} {factor}")
                edit = line.edit(new, f"followed by {name} {sign} {factor}", _key_of_scale(text, value), 2.0, 3)
                edit.adds = True
                yield edit


def _is_mask(value: Any, held: np.ndarray) -> bool:
    return (
        isinstance(value, np.ndarray) and value.shape == held.shape[: value.ndim] and bool(np.isin(value, (0, 1)).all())
    )


def _key_of_scale(text: str, value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        return "dropout mask" if "drop" in text or "keep" in text else "mask"
    return "upstream ignored" if text.startswith(("dloss", "dout", "dy", "dcost", "upstream")) else "factor"


def with_next(statement: ast.stmt, text: str) -> ast.stmt:
    (new,) = ast.parse(text).body
    for node in ast.walk(new):
        ast.copy_location(node, statement)
    return block_of([statement, new], statement)


def _values(scope: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What a step may hand on or be scaled by, and its shape: what is in scope, and its products with matrices."""
    arrays = {text: value for text, value in scope.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"}
    for text, value in arrays.items():
        yield text, value.shape
    yield from ((text, ()) for text, value in scope.items() if shape_of(value) == () and text.endswith("]"))
    for (one, a), (two, b) in itertools.product(arrays.items(), repeat=2):
        if a.ndim == b.ndim == 2 and one != two:
            if a.shape[1] == b.shape[1]:
                yield f"{one} @ {two}.T", (len(a), len(b))
            if a.ndim and a.shape[1:] and a.shape[1] == b.shape[0]:
                yield f"{one} @ {two}", (len(a), b.shape[1])
        if a.shape == b.shape and one < two:
            yield f"{one} * {two}", a.shape
