"""What the expressions of a function are when it runs: seen in one run of a copy that notes them."""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from scratchlv.gradcheck.repair.source import Function, replaced

VISITS = 64  # of one expression that are kept
PATTERNS = 12  # indices that are tried on other arrays
LARGE = 50_000  # elements; larger arrays are not copied
_NOTE, _SCOPE, _NUDGE = "_scratchlv_note", "_scratchlv_scope", "_scratchlv_nudge"


@dataclass(eq=False)
class Facts:
    """By node of the function's tree: the values of an expression at each visit, the variables before a statement."""

    values: dict[ast.AST, list[Any]] = field(default_factory=dict)
    scopes: dict[ast.AST, dict[str, Any]] = field(default_factory=dict)  # arrays and numbers by the expression for them
    history: dict[ast.AST, list[dict[str, Any]]] = field(default_factory=dict)  # the same at each visit, copied
    zeros: dict[ast.AST, set[str]] = field(default_factory=dict)  # what in scope holds nothing but zeros at a statement
    visits: dict[ast.AST, int] = field(default_factory=dict)  # of a statement
    last: ast.AST | None = None  # the statement that ran last: the one that raised, if one did
    names: dict[str, Any] = field(default_factory=dict)  # the globals that the function may use
    ratio: float | None = None  # of the wrong gradients to what they should be, if it is the same number everywhere

    @property
    def numpy(self) -> str:
        """What NumPy is called there; "" if it is not."""
        return next((name for name, each in self.names.items() if each is np), "")

    def value(self, node: ast.AST) -> Any:
        values = self.values.get(node)
        return values[0] if values else None

    def shape(self, node: ast.AST) -> tuple[int, ...] | None:
        """Of an array or a number; None if it is something else, or was not seen."""
        return shape_of(self.value(node))


def shape_of(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, np.ndarray):
        return value.shape if value.dtype != object else None
    return () if is_number(value) else None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def observe(function: Function, run: Callable[[], Any], history: Container[ast.AST] = ()) -> Facts:
    """Runs a copy of the function that notes what each expression is; of some statements, what is in scope at each visit."""
    facts = Facts(names=dict(function.objects[0].__globals__))
    nodes: list[ast.AST] = []
    indexing, patterns = _indexing(function.node), _patterns(function.node)
    constants = {
        name: value
        for name, value in facts.names.items()
        if not name.startswith("_") and (is_number(value) or isinstance(value, np.ndarray))
    }

    def note(number: int, value: Any) -> Any:
        seen = facts.values.setdefault(nodes[number], [])
        if len(seen) < VISITS:
            seen.append(value.copy() if isinstance(value, np.ndarray) and value.size <= LARGE else value)
        return value

    def scope(number: int, variables: dict[str, Any]) -> None:
        node = nodes[number]
        facts.last = node
        facts.visits[node] = facts.visits.get(node, 0) + 1
        if facts.visits[node] <= 2:  # names that a loop's first turn makes are there in the second
            now = _atoms(variables | constants, indexing, patterns)
            facts.scopes[node] = now | facts.scopes.get(node, {})
            zeros = _zeros(now)
            facts.zeros[node] = zeros & facts.zeros.get(node, zeros)
        if node in history and facts.visits[node] <= VISITS:
            facts.history.setdefault(node, []).append(_copied(_atoms(variables | constants, indexing, patterns)))

    with built_in({_NOTE: note, _SCOPE: scope}), _noting(function, nodes), suppress(Exception):
        run()
    return facts


@contextmanager
def _noting(function: Function, nodes: list[ast.AST]) -> Iterator[None]:
    """The function in a version in which each expression and statement tells about itself."""
    before = function.tree
    function.tree = _Noting(function, nodes).tree
    try:
        code = function.compiled()
    finally:
        function.tree = before
    if code is None:
        yield
        return
    with replaced(function, code):
        yield


class _Noting(ast.NodeTransformer):
    """Builds a copy of a tree; ``nodes`` are the originals, by number."""

    def __init__(self, function: Function, nodes: list[ast.AST]) -> None:
        self._nodes = nodes
        self.tree = copy.deepcopy(function.tree)
        originals, copies = list(ast.walk(function.tree)), list(ast.walk(self.tree))
        self._original = dict(zip(copies, originals, strict=True))
        target = next(new for new, old in self._original.items() if old is function.node)
        if isinstance(target, ast.Lambda):
            nodes.append(function.statement)
            variables = ast.Call(ast.Name("locals", ast.Load()), [], [])
            call = ast.Call(ast.Name(_SCOPE, ast.Load()), [ast.Constant(len(nodes) - 1), variables], [])
            target.body = ast.IfExp(call, ast.Constant(None), self._noted(target.body))
        else:
            target.body = self._statements(target.body)  # type: ignore[attr-defined]
        ast.fix_missing_locations(self.tree)

    def _number(self, node: ast.AST) -> ast.Constant:
        self._nodes.append(self._original[node])
        return ast.Constant(len(self._nodes) - 1)

    def _statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        new: list[ast.stmt] = []
        for statement in body:
            variables = ast.Call(ast.Name("locals", ast.Load()), [], [])
            call = ast.Call(ast.Name(_SCOPE, ast.Load()), [self._number(statement), variables], [])
            if not isinstance(statement, ast.Global | ast.Nonlocal):
                new.append(ast.copy_location(ast.Expr(call), statement))
            new.append(self.visit(statement))
        return new

    def _noted(self, node: ast.expr) -> ast.expr:
        number = self._number(node)
        return ast.copy_location(ast.Call(ast.Name(_NOTE, ast.Load()), [number, self.visit(node)], []), node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_comment", "pattern", "func"):
                if isinstance(value, ast.Attribute):  # of a method: its object
                    value.value = self._noted(value.value)
            elif isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    setattr(node, name, self._statements(value))
                else:
                    setattr(node, name, [self._child(each) for each in value])
            elif isinstance(value, ast.AST):
                setattr(node, name, self._child(value))
        return node

    def _child(self, node: Any) -> Any:
        if not isinstance(node, ast.AST):
            return node
        if not isinstance(node, ast.expr) or isinstance(node, ast.Slice | ast.Starred | ast.JoinedStr | ast.Constant):
            return self.visit(node)
        if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
            return self.visit(node)
        if isinstance(node, ast.Tuple) and any(isinstance(each, ast.Slice) for each in node.elts):
            return self.visit(node)
        return self._noted(node)


@contextmanager
def built_in(names: dict[str, Any]) -> Iterator[None]:
    try:
        vars(builtins).update(names)
        yield
    finally:
        for name in names:
            vars(builtins).pop(name, None)


# --- What is in scope -----------------------------------------------------------------------------------------------


class _Indexing(NamedTuple):
    names: list[str]  # variables that index something
    by_step: set[str]  # what is indexed by one of them alone, such as x in ``x[t]``


def _indexing(node: ast.AST) -> _Indexing:
    names, by_step = dict[str, None](), set[str]()
    for subscript in ast.walk(node):
        if isinstance(subscript, ast.Subscript):
            inside = [each.id for each in ast.walk(subscript.slice) if isinstance(each, ast.Name)]
            names |= dict.fromkeys(inside)
            if inside and not isinstance(subscript.slice, ast.Tuple | ast.Slice):
                by_step.add(ast.unparse(subscript.value))
    return _Indexing([*names], by_step)


def _patterns(node: ast.AST) -> dict[str, CodeType]:
    """Indices of several parts, as they stand somewhere in the function, with code for them."""
    found = {
        ast.unparse(ast.Subscript(ast.Name("_array"), subscript.slice)): subscript.slice
        for subscript in ast.walk(node)
        if isinstance(subscript, ast.Subscript) and isinstance(subscript.slice, ast.Tuple)
    }
    return {
        text.removeprefix("_array"): compile(text, "<index>", "eval")
        for text, index in list(found.items())[:PATTERNS]
        if not any(isinstance(each, ast.Call | ast.Await | ast.NamedExpr) for each in ast.walk(index))
    }


def _indexed(variables: dict[str, Any], patterns: dict[str, CodeType]) -> Iterator[tuple[str, Any]]:
    """Arrays of several dimensions, indexed in the ways in which one is somewhere."""
    for name, value in variables.items():
        if isinstance(value, np.ndarray) and value.ndim > 1 and value.size <= LARGE and name.isidentifier():
            for text, code in patterns.items():
                with suppress(Exception):  # it does not fit, or its names are not there yet
                    yield f"{name}{text}", eval(code, {}, variables | {"_array": value})


def _atoms(variables: dict[str, Any], indexing: _Indexing, patterns: dict[str, CodeType]) -> dict[str, Any]:
    """The arrays and numbers that variables are or hold, by the expression for them; the shortest one for each."""
    found: dict[str, Any] = {}
    at = {name: variables[name] for name in indexing.names if isinstance(variables.get(name), int | np.integer)}
    plain = [name for name in variables if name.isidentifier()]
    for name in sorted(plain, key=lambda name: not isinstance(variables[name], int | float | np.ndarray | np.number)):
        _collect(name, variables[name], at, found, depth=0)
    for name in indexing.by_step:
        held = found.get(name)
        if isinstance(held, np.ndarray) and held.ndim in (1, 2):
            _collect_at(name, held, at, found, depth=2)
    found.update((text, value) for text, value in _indexed(variables, patterns) if shape_of(value) is not None)
    marks: set[Any] = set()
    kept: dict[str, Any] = {}
    for text in sorted(found, key=lambda text: (text.count("[") + text.count("."), "1" in text)):
        value = found[text]
        mark = (
            (value.__array_interface__["data"][0], value.shape, value.strides)
            if isinstance(value, np.ndarray)
            else text
        )
        if mark not in marks:
            marks.add(mark)
            kept[text] = value
    return kept


def _zeros(values: dict[str, Any]) -> set[str]:
    arrays = ((text, value) for text, value in values.items() if isinstance(value, np.ndarray))
    return {text for text, value in arrays if 0 < value.size <= LARGE and value.dtype.kind == "f" and not value.any()}


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    return {
        text: value.copy() if isinstance(value, np.ndarray) else value
        for text, value in values.items()
        if isinstance(value, float)
        or isinstance(value, np.ndarray)
        and value.size <= 2000
        and value.dtype.kind in "fbiu"
    }


def _collect(text: str, value: Any, at: dict[str, Any], found: dict[str, Any], depth: int) -> None:
    if len(found) > 300 or depth > 3:
        return
    if isinstance(value, np.ndarray) or is_number(value) or isinstance(value, bool):
        found[text] = value
        if isinstance(value, np.ndarray) and (value.ndim >= 3 or value.ndim == 1 and value.dtype.kind in "iu"):
            _collect_at(text, value, at, found, depth + 2)
    elif isinstance(value, dict):
        for key, each in list(value.items())[:40]:
            if isinstance(key, str):
                _collect(f"{text}[{key!r}]", each, at, found, depth + 1)
        _collect_at(text, value, at, found, depth + 1)
    elif isinstance(value, list | tuple):
        if isinstance(value, list):
            _collect_at(text, value, at, found, depth + 1)
        for number, each in enumerate(value[:12]) if isinstance(value, tuple) or not at or depth else ():
            _collect(f"{text}[{number}]", each, at, found, depth + 1)
    elif hasattr(value, "__dict__") and not isinstance(value, type) and (not callable(value) or text == "self"):
        of_class = {key: each for key, each in vars(type(value)).items() if is_number(each)}
        for key, each in [*of_class.items(), *vars(value).items()][:60]:
            _collect(f"{text}.{key}", each, at, found, depth + 1)


def _collect_at(text: str, held: Any, at: dict[str, Any], found: dict[str, Any], depth: int) -> None:
    """The items at the indices in scope, and next to them."""
    for index, number in at.items():
        for shift, shown in ((0, ""), (1, " + 1"), (-1, " - 1")):
            place = number + shift
            there = place in held if isinstance(held, dict) else 0 <= place < len(held)
            if there:
                _collect(f"{text}[{index}{shown}]", held[place], at, found, depth)


# --- Which gradients a value moves ----------------------------------------------------------------------------------


def moved(
    function: Function,
    slot: tuple[ast.AST, str, int | None],
    before: dict[str, Any],
    gradients: Callable[[], dict[str, Any]],
) -> set[str] | None:
    """The gradients that are not as ``before`` when the expression at ``slot`` is nudged; None if that cannot be told."""
    parent, name, index = slot
    held = getattr(parent, name) if index is None else getattr(parent, name)[index]
    call = ast.copy_location(ast.Call(ast.Name(_NUDGE, ast.Load()), [held], []), held)
    try:
        put(parent, name, index, ast.fix_missing_locations(call))
        code = function.compiled()
        if code is None:
            return None
        touched: list[Any] = []
        with built_in({_NUDGE: lambda value: _nudged(value, touched)}), replaced(function, code):
            after = gradients()
        if not touched:
            return None
    except Exception:
        return None
    finally:
        put(parent, name, index, held)
    return {key for key in before if not _alike(before[key], after.get(key))}


def put(parent: ast.AST, name: str, index: int | None, node: Any) -> None:
    """``node`` into a field of ``parent``, or to a place in it if it is a list."""
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def _alike(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b, equal_nan=True))


def _nudged(value: Any, touched: list[Any]) -> Any:
    """A little more of all that is a floating-point number in it, which is ``touched``."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        touched.append(value)
        return value * 1.01 + 0.01 * np.cos(np.arange(value.size)).reshape(value.shape)
    if isinstance(value, float | np.floating):
        touched.append(value)
        return value * 1.01 + 0.01
    if isinstance(value, tuple | list):
        return type(value)(_nudged(each, touched) for each in value)
    if isinstance(value, dict):
        return {key: _nudged(each, touched) for key, each in value.items()}
    return value
