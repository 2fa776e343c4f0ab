"""Edits of shapes: axes that are moved before or after a reshape, sums that run the other way."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from scratchlv.gradcheck.repair.edits import Draft, Site, name_of

MOST_AXES = 4


def reshapes(site: Site) -> Iterator[Draft]:
    """``dy.transpose(0, 2, 3, 1).reshape(-1, F)`` for ``dy.reshape(-1, F)``; or another order, and then a transpose."""
    node = site.node
    if not isinstance(node, ast.Call) or name_of(node.func) != "reshape" or node.keywords:
        return
    method = isinstance(node.func, ast.Attribute) and name_of(node.func.value) not in ("np", "numpy", "xp")
    arguments = node.args if method else node.args[1:]
    array = node.func.value if method else node.args[0] if node.args else None  # type: ignore[attr-defined]
    if array is None or not arguments or any(isinstance(each, ast.Starred) for each in arguments):
        return
    if len(arguments) == 1 and isinstance(arguments[0], ast.Tuple):
        arguments = arguments[0].elts
    before, after = site.facts.shape(array), site.facts.shape(node)
    if before is not None and 2 < len(before) <= MOST_AXES:
        names = {"A": array} | {f"R{i}": each for i, each in enumerate(arguments)}
        for order in _orders(len(before)):
            yield Draft(f"A.transpose({_listed(order)}).reshape({', '.join([*names][1:])})", "", "axes", 1.6, names)
    if after is None or not 2 < len(after) <= MOST_AXES:
        return
    names = {"A": array}
    if len(arguments) == len(after):
        names |= {f"R{i}": each for i, each in enumerate(arguments)}
        lengths = [f"R{i}" for i in range(len(after))]
    elif len(arguments) == 1:  # a shape
        names["R"] = arguments[0]
        lengths = [f"R[{i}]" for i in range(len(after))]
    else:
        return
    for order in _orders(len(after)):
        back = [order.index(axis) for axis in range(len(order))]
        reordered = ", ".join(lengths[axis] for axis in order)
        yield Draft(f"A.reshape({reordered}).transpose({_listed(back)})", "", "axes", 1.8, names)


def _orders(axes: int) -> list[tuple[int, ...]]:
    """Permutations, those that move the fewest axes first."""
    orders = [*itertools.permutations(range(axes))][1:]
    return sorted(orders, key=lambda order: sum(i != axis for i, axis in enumerate(order)))


def _listed(numbers: tuple[int, ...] | list[int]) -> str:
    return ", ".join(map(str, numbers))


def running_sums(site: Site) -> Iterator[Draft]:
    """A running sum the other way: the gradient of one runs from the end."""
    node = site.node
    if not isinstance(node, ast.Call) or name_of(node.func) not in ("cumsum", "cumprod"):
        return
    method = isinstance(node.func, ast.Attribute) and name_of(node.func.value) not in ("np", "numpy", "xp")
    array = node.func.value if method else node.args[0] if node.args else None  # type: ignore[attr-defined]
    shape = site.facts.shape(array) if array is not None else None
    if array is None or not shape:
        return
    given = [*node.args[0 if method else 1 :], *(each.value for each in node.keywords if each.arg == "axis")]
    if not given and len(shape) > 1:
        return
    name, nodes = name_of(node.func), {"B": array, "X": given[0]} if given else {"B": array}
    axis = ", axis=X" if given else ""
    if not given or ast.unparse(given[0]) == "0":
        yield Draft(f"np.{name}(B[::-1]{axis})[::-1]", "", "reversed", 0.6, nodes)
    else:
        yield Draft(f"np.flip(np.{name}(np.flip(B, X){axis}), X)", "", "reversed", 0.6, nodes)
