"""A line of source as it would be after an edit."""

from __future__ import annotations

import ast

from scratchlv.gradcheck.repair.edits import Edit

LONG = 200  # characters of a mended line that are shown


def line_of(edit: Edit) -> int:
    """Where the edited expression begins, or the statement."""
    node = edit.site.node if edit.site is not None else edit.statement
    if isinstance(edit.statement, ast.For | ast.While | ast.If) and edit.site is None:
        return edit.statement.lineno
    return getattr(node, "lineno", edit.statement.lineno)


def mended(edit: Edit) -> str:
    """The line after the edit, in the user's own formatting where one expression is changed; "" if it goes or moves."""
    lines = edit.function.lines
    number = line_of(edit)
    if edit.site is None:
        return _statement(edit)
    node = edit.site.node
    new = edit.changes[0][1]()
    if isinstance(new, ast.Constant) and (_is(new, 0) or _is(new, 1)) and (tidy := _statement(edit)) != _as_it_is(edit):
        return tidy
    try:
        if node.end_lineno == node.lineno:
            line = lines[number - 1].encode()
            before, after = line[: node.col_offset].decode(), line[node.end_col_offset :].decode()
            text = ast.unparse(new)
            wanted = _dump_with(edit)
            bare = [text[1:-1]] if isinstance(new, ast.Tuple) and len(new.elts) > 1 else []
            for inserted in (*bare, text, f"({text})"):
                whole = [*lines]
                whole[number - 1] = before + inserted + after
                if _dump_at(whole, edit) == wanted:
                    return whole[number - 1].strip()[:LONG]
    except (SyntaxError, ValueError, UnicodeDecodeError):
        pass
    return _statement(edit)


def _dump_with(edit: Edit) -> str:
    edit.apply()
    try:
        return ast.dump(ast.parse(ast.unparse(_simple(edit.statement))))
    finally:
        edit.revert()


def _dump_at(lines: list[str], edit: Edit) -> str:
    first, last = edit.statement.lineno - 1, edit.statement.end_lineno or edit.statement.lineno
    if isinstance(edit.statement, ast.For | ast.While | ast.If | ast.With):
        last = edit.statement.body[0].lineno - 1
        text = "".join(lines[first:last]).strip() + " pass"
    else:
        text = "".join(lines[first:last]).strip()
    return ast.dump(ast.parse(ast.unparse(ast.parse(text))))


class _Tidy(ast.NodeTransformer):
    """``x`` for ``1 * x``, ``x - 0``, ``x ** 1``, ``x[::1]``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if _is(node.right, 1) and isinstance(node.op, ast.Mult | ast.Div | ast.Pow):
            return node.left
        if _is(node.right, 0) and isinstance(node.op, ast.Add | ast.Sub):
            return node.left
        neutral = {ast.Mult: 1, ast.Add: 0}.get(type(node.op))
        return node.right if neutral is not None and _is(node.left, neutral) else node

    def visit_Slice(self, node: ast.Slice) -> ast.expr:
        self.generic_visit(node)
        if node.step is not None and _is(node.step, 1):
            node.step = None
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        whole = isinstance(node.slice, ast.Slice) and not (node.slice.lower or node.slice.upper or node.slice.step)
        return node.value if whole and isinstance(node.ctx, ast.Load) else node


def _is(node: ast.expr, number: int) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == number


def _simple(statement: ast.stmt) -> ast.stmt:
    """A loop or condition without what is in it."""
    if isinstance(statement, ast.For | ast.While | ast.If | ast.With):
        fields = dict(ast.iter_fields(statement))
        new = type(statement)(**{**fields, "body": [ast.Pass()], **({"orelse": []} if "orelse" in fields else {})})
        return ast.copy_location(new, statement)
    return statement


def _is_inside(edit: Edit) -> bool:
    """All that is changed are expressions of the statement."""
    if edit.adds:
        return False
    own = {id(node) for node in ast.walk(edit.statement) if not isinstance(node, ast.stmt)}
    return all(id(slot[0]) in own for slot, _ in edit.changes)


def _as_it_is(edit: Edit) -> str:
    """The statement after the edit, nothing tidied."""
    edit.apply()
    try:
        return ast.unparse(_simple(edit.statement)).split("\n")[0][:LONG]
    finally:
        edit.revert()


def _statement(edit: Edit) -> str:
    """The whole statement on one line."""
    if edit.site is None and edit.wide and not _is_inside(edit):
        return ""
    if edit.site is None:
        new = edit.changes[0][1]()
        if isinstance(new, ast.stmt):
            return ast.unparse(new)[:LONG] if isinstance(new, ast.Assign | ast.AugAssign | ast.Expr) else ""
    edit.apply()
    try:
        text = ast.unparse(_simple(edit.statement))
        if edit.site is not None and isinstance(edit.site.node, ast.Constant | ast.UnaryOp):
            text = ast.unparse(_Tidy().visit(ast.parse(text)))
        return text.split("\n")[0][:LONG]
    finally:
        edit.revert()
