"""Which lines make a variable: those that set it, and those that set what these read, back to what is known to be right."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Collection, Iterator
from types import CodeType

_MOST = 200  # statements of a function that is looked at


def lines_that_make(name: str, code: CodeType, right: Collection[str] = ()) -> list[int]:
    """The lines of a function that ``name`` goes back to, without those that make what is ``right``.

    What the function unpacks from its parameters is taken for right. Empty if the source cannot be read.
    """
    function = _function(code)
    setting = [*_setting(function)] if function is not None else []
    if not 0 < len(setting) <= _MOST:
        return []
    known, todo, found = {*right, *_given(setting, code)}, [name], set[int]()
    while todo:
        wanted = todo.pop()
        known.add(wanted)
        for names, read, line in setting:
            if wanted in names:
                found.add(line)
                todo += [each for each in read if each not in known]
    return sorted(found)


def said(lines: list[int]) -> str:
    """Such as "line 3", "lines 3 and 5", "lines 3 to 5"."""
    if len(lines) < 2:
        return f"line {lines[0]}" if lines else ""
    if len(lines) > 3 or lines == [*range(lines[0], lines[-1] + 1)] and len(lines) > 2:
        return f"lines {lines[0]} to {lines[-1]}"
    return f"lines {', '.join(map(str, lines[:-1]))} and {lines[-1]}"


Setting = tuple[set[str], set[str], int]  # the names that a statement sets, those that it reads, and its line


def _function(code: CodeType) -> ast.FunctionDef | None:
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if code.co_firstlineno in (first, node.lineno):
                return node
    return None


def _setting(function: ast.FunctionDef) -> Iterator[Setting]:
    """The statements that set something, loops and conditions in which they stand left aside."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {base for target in targets for base in _bases(target)}
            yield names, _read(node.value), node.lineno
        elif isinstance(node, ast.For):
            yield set(_bases(node.target)), _read(node.iter), node.lineno
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.args:
            call = node.value  # np.add.at(dx, …), out.append(…)
            held = call.func.value if isinstance(call.func, ast.Attribute) else None
            names = {*_bases(call.args[0]), *(_bases(held) if isinstance(held, ast.Name) else ())}
            yield names, _read(call), node.lineno


def _given(setting: list[Setting], code: CodeType) -> set[str]:
    """The parameters, and what is made of these alone in the statements that unpack a cache."""
    parameters = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    given = set(parameters)
    for names, read, _ in setting:
        if len(names) > 1 and read <= parameters:
            given |= names
    return given


def _bases(node: ast.expr) -> list[str]:
    """The variables that a target sets, or sets a part of."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    if isinstance(node, ast.Tuple | ast.List):
        return [name for each in node.elts for name in _bases(each)]
    return [node.id] if isinstance(node, ast.Name) else []


def _read(node: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
