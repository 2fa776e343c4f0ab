"""Operations of forward and their operands, in the words of the source: "`r * h` in line 24", "`r`, of `r * h` in line 24"."""

from __future__ import annotations

import ast
import functools
import linecache

from scratchlv.gradcheck.naming.tracing import Call

LONGEST = 40  # characters of an expression that is shown

Span = tuple[int, int, int, int]  # first line, last line, first column, last column, in bytes


def where(call: Call) -> str:
    """Such as "`x @ W` in line 12", or "the multiply in line 12" where the source does not tell."""
    span = _span(call)
    text = _text(expression(call))
    shown = f"`{text}`" if text else f"the {call.name}"
    return f"{shown} in line {span[0]}" if span else f"the {call.name}"


def operand(call: Call, j: int, shortly: bool = False) -> str:
    """Such as "`x`, of `x @ W` in line 12"; ``shortly`` just "`x`" if it is a variable."""
    text = operand_text(call, j)
    if text.isidentifier():
        return f"`{text}`" if shortly else f"`{text}`, of {where(call)}"
    return f"`{text}`, of {where(call)}" if text else f"the {ordinal(j)} operand of {where(call)}"


def ordinal(j: int) -> str:
    return ("first", "second", "third")[j] if j < 3 else f"{j + 1}th"


def operand_text(call: Call, j: int) -> str:
    """The source of an operand; "" where it is long, or cannot be told."""
    node = expression(call)
    parts = _parts(node) if node is not None else []
    return _text(parts[j]) if len(parts) == len(call.operands) > j else ""


def result(call: Call) -> str:
    """The variable that the operation's result is called by; else what it is the result of."""
    name = variable(call)
    return f"`{name}`" if name else f"the result of {where(call)}"


def variable(call: Call) -> str:
    """The variable that is set to the operation's result; "" if there is none."""
    span = _span(call)
    return _names(_source(call)).get(span, "") if span else ""


def expression(call: Call) -> ast.AST | None:
    """The operation in the source."""
    span = _span(call)
    return _nodes(_source(call)).get(span) if span else None


def _span(call: Call) -> Span | None:
    if not call.place:
        return None
    code, instruction = call.place[0]
    positions = list(code.co_positions())
    span = positions[instruction // 2] if instruction // 2 < len(positions) else None
    return span if span and all(number is not None for number in span) else None  # type: ignore[return-value]


def _text(node: ast.AST | None) -> str:
    text = ast.unparse(node) if node is not None else ""
    return text if len(text) <= LONGEST and "\n" not in text else ""


def _of(node: ast.AST) -> Span:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset  # type: ignore[attr-defined]


def _source(call: Call) -> str:
    return "".join(linecache.getlines(call.place[0][0].co_filename))


def _tree(text: str) -> ast.AST | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=8)
def _nodes(text: str) -> dict[Span, ast.AST]:
    """Expressions, and statements such as ``x += y``, by where they stand; the outer one of two that begin and end alike."""
    found: dict[Span, ast.AST] = {}
    tree = _tree(text)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.expr | ast.AugAssign):
            found.setdefault(_of(node), node)
    return found


@functools.lru_cache(maxsize=8)
def _names(text: str) -> dict[Span, str]:
    """The variables that are set to an expression, by where this stands."""
    tree = _tree(text)
    return {
        _of(node.value): ast.unparse(node.targets[0])
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    }


def _parts(node: ast.AST) -> list[ast.expr]:
    """The operands, as they stand."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.AugAssign):
        return [node.target, node.value]
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.Subscript):
        return [node.value, node.slice]
    if not isinstance(node, ast.Call) or any(isinstance(each, ast.Starred) for each in node.args):
        return []
    args = [part for each in node.args for part in (each.elts if isinstance(each, ast.List | ast.Tuple) else [each])]
    func = node.func
    module = (
        isinstance(func, ast.Attribute)
        and isinstance(func.value, ast.Name)
        and func.value.id in ("np", "numpy", "xp", "cp")
    )
    return args if module or not isinstance(func, ast.Attribute) else [func.value, *args]
