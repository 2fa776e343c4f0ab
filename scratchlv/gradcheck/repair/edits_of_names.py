"""Edits of names: another variable of the same shape, another function of the right one."""

from __future__ import annotations

import ast
import difflib
import functools
import itertools
from collections.abc import Iterator
from typing import TypeGuard

import numpy as np

from scratchlv.gradcheck.repair.edits import Draft, Site, base_of, fitting, name_of, parsed
from scratchlv.gradcheck.repair.edits_of_terms import is_floating
from scratchlv.gradcheck.repair.facts import is_number, is_whole, shape_of

LOCAL = (
    ("(1 - S ** 2)", "tanh"),
    ("S * (1 - S)", "sigmoid"),
    ("(S > 0)", "relu"),
    ("(1 - S)", "local derivative"),
    ("S", "local derivative"),
    ("2 * S", "local derivative"),
    ("np.sign(S)", "local derivative"),
    ("(1 - np.tanh(S) ** 2)", "tanh"),
    ("np.exp(S)", "local derivative"),
    ("1 / S", "local derivative"),
    ("np.cos(S)", "local derivative"),
)


ELEMENTWISE = ("log", "exp", "tanh", "sqrt", "sin", "cos", "abs", "sign", "square")


@functools.lru_cache(maxsize=20_000)
def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def names(site: Site) -> Iterator[Draft]:
    """Another variable of the same shape, or one of its items or attributes; numbers for numbers."""
    node = site.node
    if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript) or _is_part(site):
        return
    if isinstance(node, ast.Attribute) and node.attr in ("T", "shape", "size", "ndim", "dtype"):
        return
    value = site.facts.value(node)
    shape = shape_of(value)
    if shape is None:
        yield from _siblings(site, value)
        return
    base = base_of(node)
    counted = {base_of(loop.target) for loop in site.loops if isinstance(loop, ast.For)}
    fit = site.scope.items() if site.statement is site.facts.last and not is_number(value) else fitting(site, shape)
    for text, other in fit:
        if text == site.text or is_number(value) and is_whole(value) != is_whole(other):
            continue
        alike = _likeness(text, site.text)
        same_base = base and base == base_of(parsed(text))
        number = 0.0 if shape else 0.3 if site.is_index and text in counted else 1.5
        cost = 1.4 - 0.6 * alike + (0.3 if same_base else 0.0) + number
        yield Draft("S", f"with {text} for {site.text}", _key_of_name(site, text), cost, {"S": parsed(text)})
    if shape and isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield from _of_other_shapes(site, shape)
        yield from _functions_of(site, value)


def _of_other_shapes(site: Site, shape: tuple[int, ...]) -> Iterator[Draft]:
    """Another array in a function of single numbers: ``np.log(u)`` for ``np.log(k)``, where a product has u's shape."""
    if site.in_call_of not in ELEMENTWISE or len(site.parents) < 2:
        return
    whole = site.facts.shape(site.parents[-2])
    for text, _ in fitting(site, whole) if whole and whole != shape else ():
        yield Draft("S", f"with {text} for {site.text}", "", 1.8, {"S": parsed(text)})


def _siblings(site: Site, value: object) -> Iterator[Draft]:
    """Another variable that was unpacked together with this one: what a layer kept, for what another layer kept."""
    node = site.node
    if not isinstance(node, ast.Name) or not isinstance(value, tuple | list | dict):
        return
    for each in ast.walk(site.function.node):
        unpacked = each.targets[0] if isinstance(each, ast.Assign) else None
        if isinstance(unpacked, ast.Tuple) and any(
            isinstance(name, ast.Name) and name.id == node.id for name in unpacked.elts
        ):
            for name in unpacked.elts:
                if isinstance(name, ast.Name) and name.id != node.id and name.id not in site.scope:
                    yield Draft("S", f"with {name.id} for {node.id}", "", 1.0, {"S": parsed(name.id)})


def arrays_for_numbers(site: Site) -> Iterator[Draft]:
    """An array, of a number for each row, in the place of one number."""
    parent = site.parent
    around = site.facts.shape(parent) if isinstance(parent, ast.BinOp) else None
    if site.shape == () and around and not site.is_index:
        for text, _ in fitting(site, around, exact=False):
            yield Draft("S", f"with {text} for {site.text}", "", 2.2, {"S": parsed(text)})


def local_derivatives(site: Site) -> Iterator[Draft]:
    """An expression of one array is replaced by another function of it."""
    node = site.node
    if not isinstance(node, ast.BinOp | ast.Call | ast.UnaryOp | ast.Compare) or not is_floating(
        site.facts.value(node)
    ):
        return
    arrays = {
        ast.unparse(each): each
        for each in ast.walk(node)
        if isinstance(each, ast.Name | ast.Attribute | ast.Subscript)
        and isinstance(getattr(each, "ctx", None), ast.Load)
        and isinstance(site.facts.value(each), np.ndarray)
        and site.facts.shape(each) == site.shape
    }
    plain = {text: each for text, each in arrays.items() if not text.endswith(".T")}
    if len(plain) != 1 or not site.shape:
        return
    (only,) = plain.values()
    if isinstance(node, ast.Call) and name_of(node.func) in ("zeros_like", "ones_like", "empty_like"):
        key = "missing factor" if name_of(node.func) == "ones_like" else "missing term"
        yield Draft("S", "", key, 1.0, {"S": only})
        return
    for order, (template, key) in enumerate(LOCAL):
        yield Draft(template, "", key, 1.2 + 0.1 * order, {"S": only})


def local_factors(site: Site) -> Iterator[Draft]:
    """``d * s * (1 - s)`` is read as ``(d * s) * (1 - s)``: both factors of the same array are one derivative."""
    node = site.node
    if not (_is_product(node) and _is_product(node.left)):
        return
    arrays = [_only_array(site, each) for each in (node.left.right, node.right)]
    if arrays[0] is None or arrays[1] is None or ast.unparse(arrays[0]) != ast.unparse(arrays[1]):
        return
    for order, (template, key) in enumerate(LOCAL):
        yield Draft(f"D * {template}", "", key, 1.2 + 0.1 * order, {"D": node.left.left, "S": arrays[0]})


def _is_product(node: ast.expr) -> TypeGuard[ast.BinOp]:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)


def _only_array(site: Site, node: ast.expr) -> ast.expr | None:
    """The one array that an expression is a function of."""
    found: dict[str, ast.expr] = {}
    todo: list[ast.AST] = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Name | ast.Attribute | ast.Subscript) and isinstance(
            site.facts.value(each), np.ndarray
        ):
            found[ast.unparse(each)] = each
        else:
            todo += ast.iter_child_nodes(each)
    return next(iter(found.values())) if len(found) == 1 else None


def softmaxes(site: Site) -> Iterator[Draft]:
    """The gradient of a softmax, where only two arrays are multiplied."""
    node, shape = site.node, site.shape
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult | ast.Sub) or not shape:
        return
    arrays = {
        ast.unparse(each): each
        for each in ast.walk(node)
        if isinstance(each, ast.Name | ast.Attribute | ast.Subscript) and site.facts.shape(each) == shape
    }
    for one, other in itertools.permutations(list(arrays.values())[:4], 2):
        for axis in dict.fromkeys((-1, *_distributed(site.facts.value(one)))):
            template = f"S * (G - (S * G).sum({axis}, keepdims=True))"
            yield Draft(template, "", "softmax", 1.5, {"S": one, "G": other})


def _distributed(value: object) -> Iterator[int]:
    """The axes along which positive numbers sum to one."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size and (value >= 0).all():
        for axis in range(value.ndim):
            if value.shape[axis] > 1 and np.allclose(value.sum(axis), 1):
                yield axis - value.ndim if axis == value.ndim - 1 else axis


def stored_names(site: Site) -> Iterator[Draft]:
    """Another variable that is set."""
    node = site.node
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not isinstance(site.parent, ast.For):
        for text, value in site.scope.items():
            if text.isidentifier() and text != node.id and isinstance(value, np.ndarray):
                renamed = ast.copy_location(ast.Name(text, ast.Store()), node)
                yield Draft("S", f"with {text} for {node.id}", "", 2.5, {"S": renamed})


def counts(site: Site) -> Iterator[Draft]:
    """The number of places that a mask leaves, for a length or a size."""
    if is_whole(site.facts.value(site.node)) and not site.is_index and not isinstance(site.node, ast.Constant):
        for text, value in site.scope.items():
            if isinstance(value, np.ndarray) and value.size and bool(np.isin(value, (0, 1)).all()):
                yield Draft("S.sum()", "", "mask in the mean", 1.5, {"S": parsed(text)})


def _is_part(site: Site) -> bool:
    """Of a longer name, which is looked at as a whole; or the function of a call."""
    parent = site.parent
    if isinstance(parent, ast.Attribute):
        return parent.attr not in (
            "T",
            "sum",
            "mean",
            "reshape",
            "transpose",
            "copy",
            "shape",
            "dot",
            "size",
            "ravel",
            "astype",
        )
    if isinstance(parent, ast.Call) and parent.func is site.node:
        return True
    return isinstance(getattr(site.node, "ctx", None), ast.Store | ast.Del)


def _key_of_name(site: Site, text: str) -> str:
    parent = site.parent
    if isinstance(parent, ast.Compare) and any(
        isinstance(each, ast.Constant) and each.value == 0 for each in (parent.left, *parent.comparators)
    ):
        return "relu"
    return ""


def _functions_of(site: Site, value: np.ndarray) -> Iterator[Draft]:
    """A local derivative that is written with the wrong function of the right variable."""
    parent = site.parent
    factor = isinstance(parent, ast.BinOp | ast.Call)
    extra = 0.0 if factor else 1.5
    yield Draft("A ** 2", "with ** 2", "local derivative", 1.0 + extra)
    yield Draft("(1 - A)", f"with 1 - {site.text}", "local derivative", 2.0 + extra)
    if np.abs(value).max(initial=0) < 1:
        yield Draft("(1 - A ** 2)", "", "tanh", 1.5 + extra)
        if value.size and value.min() > 0:
            yield Draft("(A * (1 - A))", "", "sigmoid", 1.5 + extra)
    yield Draft("(A > 0)", f"with {site.text} > 0", "relu", 2.0 + extra)
    yield Draft("np.tanh(A)", "", "local derivative", 3.0 + extra)
    yield Draft("np.exp(A)", "", "local derivative", 3.0 + extra)
    yield Draft("1 / (1 + np.exp(-A))", "", "local derivative", 3.5 + extra)
    yield Draft("np.abs(A)", "", "local derivative", 4.0 + extra)
