"""Edits of matrix products, transposes, sums and their axes."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from scratchlv.gradcheck.repair.edits import Draft, Site, is_in_time, name_of

REDUCTIONS = ("sum", "mean", "max", "min", "prod", "std", "var", "argmax", "argmin", "nansum")


def transposes(site: Site) -> Iterator[Draft]:
    node, shape = site.node, site.shape
    key = "" if not is_operand(site) else "W for Wᵀ in time" if is_in_time(site.loops) else "W for Wᵀ"
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield Draft("B", "without .T", key, 0.0, {"B": node.value})
        return
    if isinstance(node, ast.Call) and name_of(node.func) in ("transpose", "swapaxes", "moveaxis"):
        yield from _other_axes(site, node)
    if shape is None or len(shape) < 2 or site.is_index and not isinstance(site.parent, ast.Subscript):
        return
    likely = is_operand(site)
    whole = isinstance(site.parent, ast.Assign | ast.AugAssign | ast.Return | ast.Tuple | ast.Dict)
    if len(shape) == 2:
        if not isinstance(site.parent, ast.Attribute):
            yield Draft("A.T", "with .T", key if likely else "transposed", 0.0 if likely else 1.0 if whole else 2.5)
        return
    yield Draft("A.swapaxes(-1, -2)", "with the last two axes exchanged", key, 1.0 if likely else 3.0)
    shaped = isinstance(site.parent, ast.Attribute) and site.parent.attr in ("reshape", "ravel", "flatten", "dot")
    if whole or likely or shaped:
        for order in list(itertools.permutations(range(len(shape))))[1:]:
            if len(shape) <= 4:
                yield Draft(f"A.transpose({', '.join(map(str, order))})", "", "axes", 5.0)


def _other_axes(site: Site, node: ast.Call) -> Iterator[Draft]:
    array = node.args[0] if node.args else None
    if isinstance(node.func, ast.Attribute) and name_of(node.func.value) not in ("np", "numpy", "xp"):
        array = node.func.value
    if array is None:
        return
    seen = site.facts.shape(array)
    key = "axes" if seen is not None and len(seen) > 2 else "transposed"
    yield Draft("B", f"without .{name_of(node.func)}", key, 1.0, {"B": array})
    if seen is None or not 2 <= len(seen) <= 6:
        return
    orders = list(itertools.permutations(range(len(seen))))
    near = sorted(orders[1:], key=lambda order: sum(i != axis for i, axis in enumerate(order)))
    for order in near[: 60 if len(seen) > 4 else 24]:
        yield Draft(f"B.transpose({', '.join(map(str, order))})", "", key, 3.0, {"B": array})


def is_operand(site: Site) -> bool:
    parent = site.parent
    return (
        isinstance(parent, ast.BinOp)
        and isinstance(parent.op, ast.MatMult)
        or (site.in_call_of in ("dot", "matmul", "outer", "einsum", "tensordot"))
    )


def products(site: Site) -> Iterator[Draft]:
    node = site.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield from _product(site, "@", node.left, node.right)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = site.facts.shape(node.left), site.facts.shape(node.right)
        if left and right and len(left) >= 1 and len(right) >= 1:
            both = {"L": node.left, "R": node.right}
            yield Draft("L @ R", "with @ for *", "", 3.0, both)
            yield Draft("L.T @ R", "", "", 3.5, both)
    elif isinstance(node, ast.Call) and len(node.args) == 2 and not node.keywords:
        name = name_of(node.func)
        if name in ("dot", "matmul"):
            yield from _product(site, "@", *node.args)
        if name == "outer":
            swapped = {"F": node.func, "L": node.args[0], "R": node.args[1]}
            yield Draft("F(R, L)", "with the factors exchanged", "transposed", 0.0, swapped)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and site.in_call_of == "einsum":
        yield from _subscripts(site, node.value)


def _product(site: Site, sign: str, left: ast.expr, right: ast.expr) -> Iterator[Draft]:
    plain = {"L": _bare(left), "R": _bare(right)}
    both = {"L": left, "R": right}
    yield Draft("R @ L", "with the factors exchanged", "transposed", 0.5, both)
    now = ("L.T" if plain["L"] is not left else "L", "R.T" if plain["R"] is not right else "R")
    for first, second in itertools.product(("L", "L.T"), ("R", "R.T")):
        if (first, second) != now:
            yield Draft(f"{first} @ {second}", "", "W for Wᵀ", 2.0, plain)
        yield Draft(f"{second} @ {first}", "", "transposed", 1.5, plain)
    yield Draft("L * R", "with * for @", "", 3.0, both)
    shapes = [site.facts.shape(each) for each in (left, right)]
    if any(shape and len(shape) > 2 for shape in shapes):
        yield Draft("L.swapaxes(-1, -2) @ R", "", "W for Wᵀ", 2.0, both)
        yield Draft("L @ R.swapaxes(-1, -2)", "", "W for Wᵀ", 2.0, both)


def _bare(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Attribute) and node.attr == "T" else node


def _subscripts(site: Site, text: str) -> Iterator[Draft]:
    """Other subscripts of an einsum: two letters exchanged, another letter in one place, one left out, operands reversed."""
    words = text.replace(" ", "")
    letters = sorted({letter for letter in words if letter.isalpha()})
    new: dict[str, float] = {}
    parts = words.replace("->", ",").split(",")
    for number, part in enumerate(parts):
        for i, j in itertools.combinations(range(len(part)), 2):
            order = list(part)
            order[i], order[j] = order[j], order[i]
            new.setdefault(_joined(parts, number, "".join(order), words), 1.0)
        for i, letter in itertools.product(range(len(part)), letters):
            new.setdefault(_joined(parts, number, part[:i] + letter + part[i + 1 :], words), 2.5)
    new.pop(words, None)
    for each, cost in new.items():
        yield Draft(repr(each), "", "letters", cost)


def _joined(parts: list[str], number: int, part: str, words: str) -> str:
    parts = [*parts[:number], part, *parts[number + 1 :]]
    return ",".join(parts[:-1]) + "->" + parts[-1] if "->" in words else ",".join(parts)


# --- Sums -----------------------------------------------------------------------------------------------------------


def sums(site: Site) -> Iterator[Draft]:
    """A sum or mean is added, dropped, exchanged or taken over another axis."""
    node, shape = site.node, site.shape
    if isinstance(node, ast.Call) and name_of(node.func) in REDUCTIONS and isinstance(node.func, ast.Attribute):
        yield from _reduction(site, node)
    if isinstance(node, ast.Tuple) and site.in_call_of in REDUCTIONS and len(node.elts) > 1:
        for i in range(len(node.elts)):
            names = {f"A{k}": each for k, each in enumerate(node.elts)}
            rest = ", ".join(name for k, name in enumerate(names) if k != i)
            yield Draft(f"({rest},)", "", "wrong axis", 1.0, names)
    if not shape or isinstance(site.parent, ast.Attribute) or not _may_be_summed(site):
        return
    likely = isinstance(site.parent, ast.Assign | ast.AugAssign | ast.Return | ast.Tuple)
    for axis in range(len(shape)):
        first = axis == 0 and len(shape) > 1
        key, details = ("batch sum", {}) if first else ("sum", {"axis": f"axis {axis}"})
        cost = 0.5 if first and likely else 1.5 if likely else 3.0
        last = axis - len(shape) if axis == len(shape) - 1 and axis else axis
        yield Draft(f"A.sum({axis})", f"with .sum({axis})", key, cost, {}, details)
        yield Draft(f"A.sum({last}, keepdims=True)", f"with .sum({last}, keepdims=True)", key, cost + 0.7, {}, details)
        yield Draft(f"A.mean({last}, keepdims=True)", "", key, cost + 2, {}, details)
    if len(shape) > 2:
        for kept in range(len(shape)):
            axes = tuple(axis for axis in range(len(shape)) if axis != kept)
            yield Draft(f"A.sum({axes})", f"with .sum({axes})", "batch sum", 2.5 if likely else 3.5)
    yield Draft("A.sum()", "with .sum()", "sum", 3.0)
    yield Draft("A[:, None]", "with [:, None]", "broadcast", 2.0)
    yield Draft("A[..., None]", "with [..., None]", "broadcast", 2.5)
    yield Draft("A[None]", "with [None]", "broadcast", 3.5)
    if site.shape and len(site.shape) > 1:
        yield Draft("A[0]", "with [0]", "", 5.0)


def _may_be_summed(site: Site) -> bool:
    """Not what is inside of a chain of products, which is summed as a whole; nor what is an index."""
    parent = site.parent
    if isinstance(parent, ast.Subscript) or site.is_index:
        return False
    return not (isinstance(parent, ast.Call) and site.in_call_of in ("zeros_like", "ones_like", "empty_like", "len"))


def _reduction(site: Site, node: ast.Call) -> Iterator[Draft]:
    name, func = name_of(node.func), node.func
    assert isinstance(func, ast.Attribute)
    method = name_of(func.value) not in ("np", "numpy", "xp")
    array = func.value if method else node.args[0] if node.args else None
    if array is None:
        return
    rest = [] if method else ["B"]
    function = "B" if method else "M"
    nodes = {"B": array, "M": func.value}
    yield Draft("B", f"without .{name}", "too much" if name in ("mean", "sum") else "", 1.0, nodes)
    axis, keepdims = _axis(node, method)
    word = "" if len(node.args) > len(rest) else "axis="
    seen = site.facts.shape(array)
    if name in ("sum", "mean"):
        other = "mean" if name == "sum" else "sum"
        key = "mean missing" if other == "mean" else "mean twice"
        yield Draft(
            _call(function, other, rest, axis, keepdims, word),
            f"with {other} for {name}",
            key,
            1.0,
            nodes,
            {"number": "N"},
        )
    for order, each in enumerate(_axes(len(seen) if seen is not None else 3)):
        for keep in (keepdims, not keepdims):
            if (each, keep) == (axis, keepdims):
                continue
            key = "wrong axis" if each != axis else "broadcast"
            cost = (0.3 + 0.1 * order if keep == keepdims else 1.5 + 0.1 * order) if each != axis else 0.2
            how = "" if each != axis else "with keepdims=True" if keep else "without keepdims=True"
            yield Draft(_call(function, name, rest, each, keep, word), how, key, cost, nodes)


def _call(function: str, name: str, rest: list[str], axis: str, keepdims: bool, word: str) -> str:
    """``word`` is "axis=" or nothing, as the user writes it."""
    arguments = [*rest, *([f"{word}{axis}"] if axis != "None" else []), *(["keepdims=True"] if keepdims else [])]
    return f"{function}.{name}({', '.join(arguments)})"


def _axis(node: ast.Call, method: bool) -> tuple[str, bool]:
    axis, keepdims = "None", False
    positional = node.args if method else node.args[1:]
    if positional:
        axis = ast.unparse(positional[0])
    for keyword in node.keywords:
        if keyword.arg == "axis":
            axis = ast.unparse(keyword.value)
        if keyword.arg == "keepdims":
            keepdims = isinstance(keyword.value, ast.Constant) and bool(keyword.value.value)
    return axis, keepdims


def _axes(dimensions: int) -> list[str]:
    single = [str(axis) for axis in range(dimensions)] + (["-1"] if dimensions else [])
    several = [str(axes) for count in range(2, dimensions) for axes in itertools.combinations(range(dimensions), count)]
    return [*single, "None", *several]
