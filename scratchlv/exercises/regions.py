"""A solution with marked regions, and what is made of it: the learner's stub, and the text that is shown in the end.

# <solution>
y = np.maximum(x, 0)
# <stub>            (optional: what stands there in the stub, commented out)
# y = x
# </solution>
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from scratchlv.errors import UserError

_MARK = re.compile(r"^(?P<indent>\s*)(?P<comment>#|//) <(?P<mark>/?solution|stub)>\s*$")


@dataclass(frozen=True)
class Region:
    """Lines ``first`` to ``last`` of the marked text, both of them marks; counted from 0."""

    first: int
    last: int
    solution: list[str]
    stub: list[str] | None
    indent: str


def stub(text: str, name: str = "solution.py") -> str:
    """What the learner begins with: each region is the stub's own lines, or raises ``NotImplementedError``.

    Raises:
        UserError: a mark has no partner, or there is none.
    """
    lines, functions = text.splitlines(), _functions(text, name)
    made, at = [], 0
    for region in _regions(lines, name):
        made += lines[at : region.first]
        if region.stub is not None:
            made += region.stub
        else:
            what = functions.get(region.first + 1, "this")
            made.append(f'{region.indent}raise NotImplementedError("{what} is yours to write")')
        at = region.last + 1
    return "\n".join([*made, *lines[at:]]) + "\n"


def solution(text: str, name: str = "solution.py") -> str:
    """The solution as one would write it: without marks, and without the stub's lines."""
    lines = text.splitlines()
    made, at = [], 0
    for region in _regions(lines, name):
        made += [*lines[at : region.first], *region.solution]
        at = region.last + 1
    return "\n".join([*made, *lines[at:]]) + "\n"


def _regions(lines: list[str], name: str) -> list[Region]:
    found = list(_parsed(lines, name))
    if not found:
        raise UserError(f"{name} has no region: mark what the learner writes with # <solution> and # </solution>")
    return found


def _parsed(lines: list[str], name: str) -> Iterator[Region]:
    first = divider = None
    indent = comment = ""
    for i, line in enumerate(lines):
        found = _MARK.match(line)
        mark = found["mark"] if found else None
        if mark == "solution" and found:
            if first is not None:
                raise UserError(f"{name}, line {i + 1}: a region begins within one; close the one of line {first + 1}")
            first, divider, indent, comment = i, None, found["indent"], found["comment"]
        elif mark in ("stub", "/solution"):
            if first is None:
                raise UserError(f"{name}, line {i + 1}: <{mark}> stands outside of a region; begin it with <solution>")
            if mark == "stub":
                divider = i
                continue
            end = i if divider is None else divider
            left = None if divider is None else [_uncommented(each, comment) for each in lines[divider + 1 : i]]
            yield Region(first, i, lines[first + 1 : end], left, indent)
            first = None
    if first is not None:
        raise UserError(f"{name}, line {first + 1}: the region has no end; close it with </solution>")


def _uncommented(line: str, comment: str) -> str:
    return re.sub(rf"^(\s*){comment} ?", r"\1", line)


def _functions(text: str, name: str) -> dict[int, str]:
    """By line, counted from 1, the innermost function around it. Of what is no Python, none."""
    if not name.endswith(".py"):
        return {}
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{name} is no valid Python: {error.msg} (line {error.lineno})") from None
    functions: dict[int, str] = {}
    for node in ast.walk(tree):  # outer ones come first
        if isinstance(node, ast.FunctionDef):
            functions |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), node.name)
    return functions
