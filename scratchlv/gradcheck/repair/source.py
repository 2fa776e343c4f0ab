"""The source of the user's functions: found, edited as a tree, compiled anew, and put in their place."""

from __future__ import annotations
import __future__

import ast
import copy
import functools
import gc
import linecache
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef

_FOREIGN = tuple(
    f"{Path(path).resolve()}{os.sep}"
    for path in {
        *(sysconfig.get_paths().get(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")),
        Path(__file__).parents[2],
    }
    if path
)


@dataclass(eq=False)
class Function:
    """A function of the user's, with a tree that may be edited; the file is as it was when it was read."""

    node: Node  # a copy, to be edited
    file: str
    lines: list[str]
    code: CodeType  # as it is
    objects: list[FunctionType]  # all that have this code
    makers: list[FunctionType] = field(default_factory=list)  # functions that it is defined in: they make new ones
    own: bool = True  # it is backward itself, not something that backward calls
    now: CodeType | None = None  # what stands in its place, once something has
    path: tuple[str, ...] = ()  # names of the code objects that lead to it
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []))

    def compiled(self) -> CodeType | None:
        """The code of the tree as it is now; None if it cannot stand in the place of the function's code."""
        try:
            flags = self.code.co_flags & __future__.annotations.compiler_flag
            code = compile(self.tree, self.file, "exec", flags=flags, dont_inherit=True)
        except (SyntaxError, ValueError, TypeError, RecursionError):
            return None
        for name in self.path:
            inner = [const for const in code.co_consts if isinstance(const, CodeType) and const.co_name == name]
            if not inner:
                return None
            code = inner[-1]
        return code if code.co_freevars == self.code.co_freevars else None

    def put(self, code: CodeType) -> None:
        for function in self.objects:
            function.__code__ = code
        for maker in self.makers:
            maker.__code__ = _with_inner(maker.__code__, self.now or self.code, code)
        self.now = code

    @property
    def statement(self) -> ast.stmt:
        """The innermost statement of the tree that holds the function: a lambda's place, or the definition."""
        statement = self.tree.body[0]
        while statement is not self.node and isinstance(statement, ast.FunctionDef | ast.ClassDef):
            statement = statement.body[-1]
        return statement


def _with_inner(code: CodeType, old: CodeType, new: CodeType) -> CodeType:
    """The code of a function, with another code for what is defined in it, however deep."""
    inner = [
        (new if const == old else _with_inner(const, old, new)) if isinstance(const, CodeType) else const
        for const in code.co_consts
    ]
    same = all(a is b for a, b in zip(inner, code.co_consts, strict=True))
    return code if same else code.replace(co_consts=tuple(inner))


def _inner(code: CodeType) -> Iterator[CodeType]:
    """What is defined in a function, however deep."""
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield const
            yield from _inner(const)


@contextmanager
def replaced(function: Function, code: CodeType) -> Iterator[None]:
    """The function runs ``code`` in the meantime."""
    try:
        function.put(code)
        yield
    finally:
        function.put(function.code)


def unwrapped(callable_: Callable) -> list[CodeType]:
    """The code of a callable, and of what it wraps: methods, partials, decorators, objects that can be called."""
    found: list[CodeType] = []
    todo: list[Any] = [callable_]
    while todo:
        each = todo.pop()
        if isinstance(each, functools.partial):
            todo.append(each.func)
        elif isinstance(each, MethodType):
            todo.append(each.__func__)
        elif isinstance(each, FunctionType):
            if each.__code__ not in found:
                found.append(each.__code__)
        elif not isinstance(each, type) and callable(each) and isinstance(call := type(each).__call__, FunctionType):
            todo.append(call)
        if (inner := getattr(each, "__wrapped__", None)) is not None:
            todo.append(inner)
    return found


def called(run: Callable[[], Any], roots: Iterable[CodeType]) -> list[CodeType]:
    """The user's code that ``run`` calls, from the ``roots`` downwards; of all calls if there are none."""
    roots = set(roots)
    found: dict[CodeType, None] = {}
    depth = 0

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal depth
        if event not in ("call", "return"):
            return
        if frame.f_code in roots:
            depth += 1 if event == "call" else -1
        if event == "call" and (depth or not roots or frame.f_code in roots) and frame.f_code not in found:
            found[frame.f_code] = None

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        run()
    except Exception:  # what was called until then is known
        pass
    finally:
        sys.setprofile(before)
    return [code for code in found if code in roots or is_users(code.co_filename)]


def is_users(file: str) -> bool:
    if file.startswith("<") and not linecache.getlines(file):
        return False
    return not str(Path(file).resolve()).startswith(_FOREIGN) and "site-packages" not in file


def functions(codes: Iterable[CodeType], roots: Iterable[CodeType] = ()) -> list[Function]:
    """Those whose source can be read; what is defined inside of another of them is edited with it."""
    roots, codes = set(roots), list(codes)
    objects: dict[CodeType, list[FunctionType]] = {}
    makers: dict[CodeType, list[FunctionType]] = {}
    wanted, files = set(codes), {code.co_filename for code in codes}
    for each in gc.get_objects():
        if type(each) is not FunctionType or each.__code__.co_filename not in files:
            continue
        if each.__code__ in wanted:
            objects.setdefault(each.__code__, []).append(each)
        for inner in wanted.intersection(_inner(each.__code__)):
            makers.setdefault(inner, []).append(each)
    found: dict[int, tuple[Function, list[Scope]]] = {}
    for code in codes:
        lines = linecache.getlines(code.co_filename)
        located = _locate(code, lines)
        if located is None or code not in objects:
            continue
        node, scopes = located
        function = Function(
            copy.deepcopy(node), code.co_filename, lines, code, objects[code], makers.get(code, []), code in roots
        )
        _prepare(function, scopes)
        new = function.compiled()
        if new is not None and new.co_varnames[: new.co_argcount] == code.co_varnames[: code.co_argcount]:
            found[id(node)] = function, scopes
    return [function for function, scopes in found.values() if not any(id(scope) in found for scope in scopes)]


def _locate(code: CodeType, lines: list[str]) -> tuple[Node, list[Scope]] | None:
    """The function's node in its file, and the scopes around it."""
    tree = _parsed("".join(lines))
    if tree is None:
        return None
    for node, scopes in _scoped(tree, []):
        if isinstance(node, ast.Lambda):
            body = (node.body.lineno, node.body.end_lineno, node.body.col_offset, node.body.end_col_offset)
            if code.co_name == "<lambda>" and body in set(code.co_positions()):
                return node, scopes
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node, scopes
    return None


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _scoped(node: ast.AST, scopes: list[Scope]) -> Iterator[tuple[Scope, list[Scope]]]:
    """Every function and class, with what is around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield child, scopes
            yield from _scoped(child, [*scopes, child])
        else:
            yield from _scoped(child, scopes)


def _prepare(function: Function, scopes: list[Scope]) -> None:
    """A module with this function alone, in classes and functions of the same names, so that its variables mean the same."""
    node, free = function.node, [name for name in function.code.co_freevars if name != "__class__"]
    mention = ast.parse(f"if False: ({''.join(f'{name},' for name in free)})").body[0]
    if isinstance(node, ast.Lambda):
        if free:  # an edit that drops a free variable must not change which ones there are
            mentioned = mention.body[0].value  # type: ignore[attr-defined]
            node.body = ast.IfExp(ast.Constant(True), node.body, mentioned)
        inner: ast.stmt = ast.Expr(node)
    else:
        node.decorator_list = []
        if free:
            node.body.append(mention)
        inner = node
    path = [function.code.co_name]
    for scope in reversed(scopes):
        name = "<lambda>" if isinstance(scope, ast.Lambda) else scope.name
        if isinstance(scope, ast.ClassDef):
            outer = ast.parse(f"class {name}: pass").body[0]
        else:
            name = "_scope" if name == "<lambda>" else name
            outer = ast.parse(f"def {name}(): {' = '.join([*free, 'None'])}").body[0]
        outer.body.append(inner)  # type: ignore[attr-defined]
        inner = outer
        path.append(name)
    function.tree = ast.fix_missing_locations(ast.Module([inner], []))
    function.path = tuple(reversed(path))
