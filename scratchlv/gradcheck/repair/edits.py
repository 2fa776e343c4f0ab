"""Single edits of a function: every expression and statement of it, changed in the ways in which backward passes go wrong."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from scratchlv.gradcheck.repair.facts import Facts, put, shape_of
from scratchlv.gradcheck.repair.source import Function

Slot = tuple[ast.AST, str, int | None]  # parent, field, and index where the field is a list


@dataclass(eq=False)
class Site:
    """An expression, and where it stands."""

    node: ast.expr
    slot: Slot
    statement: ast.stmt
    loops: tuple[ast.stmt, ...]
    facts: Facts
    function: Function
    parents: tuple[ast.AST, ...]  # from the statement to the node's parent

    @property
    def parent(self) -> ast.AST:
        return self.slot[0]

    @functools.cached_property
    def shape(self) -> tuple[int, ...] | None:
        return self.facts.shape(self.node)

    @property
    def scope(self) -> dict[str, Any]:
        return self.facts.scopes.get(self.statement, {})

    @property
    def zeros(self) -> set[str]:
        """What in scope holds nothing but zeros here: as a factor it would hide what is wrong."""
        return self.facts.zeros.get(self.statement, set())

    @functools.cached_property
    def text(self) -> str:
        return ast.unparse(self.node)

    @functools.cached_property
    def is_index(self) -> bool:
        """It is in the index of a subscript."""
        chain = (*self.parents, self.node)
        return any(isinstance(a, ast.Subscript) and a.slice is b for a, b in zip(chain, chain[1:], strict=False))

    @functools.cached_property
    def is_stored(self) -> bool:
        """It is in the index of a place that is set, which no value tells about."""
        chain = (*self.parents, self.node)
        return any(
            isinstance(a, ast.Subscript) and a.slice is b and isinstance(a.ctx, ast.Store)
            for a, b in zip(chain, chain[1:], strict=False)
        )

    @property
    def in_call_of(self) -> str:
        """The name of the function that it is an argument of."""
        parent = self.parents[-2] if isinstance(self.parent, ast.keyword) and len(self.parents) > 1 else self.parent
        return name_of(parent.func) if isinstance(parent, ast.Call) and self.node is not parent.func else ""


@dataclass(frozen=True)
class Draft:
    """A new expression in the place of a site's: a template in which names stand for nodes."""

    template: str
    how: str
    key: str  # of causes.cause; "" if the edit alone does not tell
    cost: float  # 0 for the most likely, 1 more for each factor of e less
    nodes: dict[str, ast.expr] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    hint: float = 0.0  # by how much the numbers at hand make it more likely


@dataclass(eq=False)
class Edit:
    """A change of the tree: what is put in which slot, made when it is needed."""

    changes: tuple[tuple[Slot, Callable[[], Any]], ...]
    site: Site | None
    statement: ast.stmt
    how: str  # "" to tell it from the trees
    key: str
    cost: float
    group: str  # edits of one group are interleaved with others
    function: Function
    details: dict[str, str] = field(default_factory=dict)
    nodes: int = 0  # that it adds
    hint: float = 0.0
    adds: bool = False  # a statement
    of_place: bool = False  # it changes where something is put, which no value tells about
    exchanged: tuple[Any, ...] = ()  # values of the two variables that change places
    _undo: list[tuple[Slot, Any]] = field(default_factory=list)

    @property
    def wide(self) -> bool:
        """It changes more than one value, or one that has no expression of its own."""
        return len(self.changes) > 1 or self.adds or self.of_place or (self.site is not None and self.site.is_stored)

    def described(self) -> str:
        if self.how or self.site is None:
            return self.how
        return f"with {ast.unparse(self.changes[0][1]())} for {self.site.text}"

    def apply(self) -> None:
        for (parent, name, index), make in self.changes:
            held = getattr(parent, name)
            self._undo.append(((parent, name, index), held if index is None else held[index]))
            put(parent, name, index, make())

    def revert(self) -> None:
        for (parent, name, index), held in reversed(self._undo):
            put(parent, name, index, held)
        self._undo.clear()


def edit_of(site: Site, draft: Draft, kind: str) -> Edit:
    """The edit that a draft stands for; those of one kind in one statement are a group."""

    def make() -> ast.expr:
        numpy = {"np": parsed(site.facts.numpy or "np")}
        new = build(draft.template, site.node, {"A": site.node, **numpy, **draft.nodes})
        if isinstance(context := getattr(site.node, "ctx", None), ast.Store) and isinstance(new, ast.Subscript):
            new.ctx = context
        return new

    group = f"{id(site.statement)} {kind}"
    change = ((site.slot, make),)
    edit = Edit(change, site, site.statement, draft.how, draft.key, draft.cost, group, site.function, draft.details)
    edit.nodes, edit.hint = len(draft.template), draft.hint
    return edit


def build(template: str, at: ast.AST, nodes: dict[str, ast.expr]) -> ast.expr:
    """The template's expression, with nodes for names, located ``at`` the node that it replaces."""

    def copied(node: Any) -> Any:
        if isinstance(node, ast.Name) and node.id in nodes:
            return nodes[node.id]
        if isinstance(node, list):
            return [copied(each) for each in node]
        if not isinstance(node, ast.AST):
            return node
        new = type(node)(**{name: copied(value) for name, value in ast.iter_fields(node)})
        return ast.copy_location(new, at) if hasattr(at, "lineno") and "lineno" in new._attributes else new

    return copied(parsed(template))


@functools.lru_cache(maxsize=20_000)
def parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def name_of(node: ast.AST) -> str:
    """The last name of ``a``, ``a.b`` or ``a[i].b``; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def base_of(node: ast.AST) -> str:
    """The variable that ``a``, ``a.b`` or ``a[i].b`` is, or is a part of."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def is_in_time(loops: tuple[ast.stmt, ...]) -> bool:
    """One of the loops is over a variable that counts time, or over T."""
    return any(
        isinstance(loop, ast.For)
        and (
            base_of(loop.target) in ("t", "step", "time")
            or any(isinstance(each, ast.Name) and each.id == "T" for each in ast.walk(loop.iter))
        )
        for loop in loops
    )


def fitting(site: Site, shape: tuple[int, ...], *, exact: bool = True) -> Iterator[tuple[str, Any]]:
    """What is in scope and has this shape; or else what can be broadcast to it, numbers excluded."""
    for text, value in site.scope.items():
        found = shape_of(value)
        if found == shape or (not exact and found and _broadcasts(found, shape)):
            yield text, value


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    if len(small) > len(large):
        return False
    return all(s in (1, l) for s, l in zip(reversed(small), reversed(large), strict=False))
