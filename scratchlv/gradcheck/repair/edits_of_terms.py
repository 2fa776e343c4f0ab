"""Edits of sums of products: signs, terms, factors, local derivatives, and other names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from scratchlv.gradcheck.repair.edits import Draft, Site, fitting, parsed
from scratchlv.gradcheck.repair.facts import is_number, is_whole, shape_of

SUMS, FACTORS = (ast.Add, ast.Sub), (ast.Mult, ast.Div)
LENGTHS = 40  # places where a length is looked for


def operators(site: Site) -> Iterator[Draft]:
    """Another operator, the operands exchanged or left out, brackets elsewhere."""
    node = site.node
    if isinstance(node, ast.UnaryOp):
        number = isinstance(node.operand, ast.Constant) and is_whole(node.operand.value)
        place = site.is_index or number and site.in_call_of  # an offset, or an axis: no sign of a value
        yield Draft(
            "B",
            "without the sign" if isinstance(node.op, ast.USub) else "",
            "" if place else "mask inverted" if isinstance(node.op, ast.Invert) else "sign",
            1.0 if place else 0.5,
            {"B": node.operand},
        )
        if number and place:
            yield Draft("0", f"with 0 for {ast.unparse(node)}", "", 0.5)
    if not isinstance(node, ast.BinOp) or _is_text(site, node):
        return
    both = {"L": node.left, "R": node.right}
    if site.is_index or isinstance(node.op, ast.FloorDiv | ast.Mod):
        for template in ("L + R", "L - R", "L * R", "L // R", "L / R", "L % R", "L", "R"):
            yield Draft(template, "", "", 2.5, both)
    elif isinstance(node.op, SUMS):
        other = "-" if isinstance(node.op, ast.Add) else "+"
        yield Draft(f"L {other} R", f"with {other} for {'+' if other == '-' else '-'}", "sign", 0.3, both)
        if other == "+":
            yield Draft("R - L", "with the terms exchanged", "sign", 1.0, both)
            yield Draft("-R", "", "", 3.0, both)
        yield Draft("L * R", "", "", 2.5, both)
        key = "too much" if is_floating(site.facts.value(node)) else ""
        yield Draft("L", f"without {_shown(node.right)}", key, 1.0, both)
        key = key if other == "-" else ""  # b for a - b is more than to leave out a
        yield Draft("R", f"without {_shown(node.left)}", key, 1.5, both)
    elif isinstance(node.op, FACTORS):
        product = isinstance(node.op, ast.Mult)
        yield Draft("L / R" if product else "L * R", f"with {'/ for *' if product else '* for /'}", "factor", 1.0, both)
        yield Draft(
            "L",
            f"without {_shown(node.right)}",
            _dropped(site, node.right, product),
            0.8,
            both,
            {"number": _shown(node.right)},
        )
        yield Draft(
            "R" if product else "1 / R", f"without {_shown(node.left)}", _dropped(site, node.left, True), 1.3, both
        )
        yield Draft("L + R", "", "", 3.0, both)
        yield Draft("L - R", "", "", 3.0, both)
        yield Draft("R / L", "", "", 3.0, both)
        left = node.left
        if product and isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult) and site.shape:
            pair = f"{_shown(left.right)} * ({_shown(node.right)})"  # as in u (1 − u)
            cost = 0.8 if _names(left.right) & _names(node.right) else 2.0
            yield Draft("L", f"without {pair}", "too much", cost, {"L": left.left})
        if not isinstance(node.right, ast.Constant):
            yield Draft("L * R ** 2" if product else "L / R ** 2", "", "local derivative", 2.0, both)
            yield Draft("L * np.sqrt(R)" if product else "L / np.sqrt(R)", "", "scale", 2.5, both)
    elif isinstance(node.op, ast.Pow):
        yield Draft("L", f"without ** {_shown(node.right)}", "local derivative", 0.8, both)
        for power in (2, 3, 1.5, -1.5, 0.5, -0.5, -1, -2, -3, 1):
            yield Draft(f"L ** {power}", "", "local derivative", 1.0, both)
    yield from _brackets(node)


def _is_text(site: Site, node: ast.BinOp) -> bool:
    return isinstance(site.facts.value(node), str | tuple | list)


def _shown(node: ast.expr) -> str:
    return ast.unparse(node)


def _names(node: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _dropped(site: Site, node: ast.expr, product: bool) -> str:
    if site.facts.shape(node):  # an array, whatever it is called
        return "too much"
    text = ast.unparse(node).lower()
    if any(word in text for word in ("lr", "eta", "learning")):
        return "learning rate"
    if "sqrt" in text or "scale" in text or "** 0.5" in text:
        return "scale"
    if "keep" in text or "1 - p" in text:
        return "dropout scale"
    if isinstance(node, ast.Constant):
        return "factor"
    return "" if product else "mean twice"


def _brackets(node: ast.BinOp) -> Iterator[Draft]:
    """``a + b * c`` for ``(a + b) * c`` and the like."""
    signs = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@"}
    outer = signs.get(type(node.op))
    left, right = node.left, node.right
    if (
        outer
        and isinstance(left, ast.BinOp)
        and (inner := signs.get(type(left.op)))
        and outer + inner not in ("++", "**")
    ):
        nodes = {"L": left.left, "M": left.right, "R": right}
        yield Draft(f"L {inner} (M {outer} R)", "with brackets", "", 1.2, nodes)
        yield Draft(f"(L {outer} R) {inner} M", "", "", 2.0, nodes)
        if outer in "+-" and inner in "+-":
            return
        yield Draft(f"L {outer} (M {inner} R)", "", "", 3.0, nodes)
    if (
        outer
        and isinstance(right, ast.BinOp)
        and (inner := signs.get(type(right.op)))
        and outer + inner not in ("++", "**")
    ):
        nodes = {"L": left, "M": right.left, "R": right.right}
        yield Draft(f"(L {outer} M) {inner} R", "with brackets", "", 1.2, nodes)


def brackets_of_sums(site: Site) -> Iterator[Draft]:
    """``a + b * c * d`` for ``(a + b) * c * d``."""
    node, factors = site.node, []
    while isinstance(node, ast.BinOp) and isinstance(node.op, FACTORS):
        factors.append(("*" if isinstance(node.op, ast.Mult) else "/", node.right))
        node = node.left
    if len(factors) < 2 or not isinstance(node, ast.BinOp) or not isinstance(node.op, SUMS):
        return
    sign = "+" if isinstance(node.op, ast.Add) else "-"
    nodes = {"L": node.left, "R": node.right} | {f"F{k}": factor for k, (_, factor) in enumerate(factors)}
    product = "".join(f" {factors[k][0]} F{k}" for k in reversed(range(len(factors))))
    yield Draft(f"L {sign} R{product}", "with brackets", "", 1.2, nodes)
    yield Draft(f"L{product} {sign} R", "with brackets", "", 1.2, nodes)


def ones(site: Site) -> Iterator[Draft]:
    """One is added or subtracted: a target's, or that of ``1 + …``."""
    if is_floating(site.facts.value(site.node)) and is_term(site):
        assigned = isinstance(site.parent, ast.Assign | ast.AugAssign)
        yield Draft("A - 1", "with - 1", "missing term", 1.8 if assigned else 2.5)
        yield Draft("A + 1", "with + 1", "missing term", 2.2 if assigned else 2.5)


def signs(site: Site) -> Iterator[Draft]:
    if is_term(site) and not isinstance(site.node, ast.UnaryOp | ast.Constant):
        whole = isinstance(site.parent, ast.stmt | ast.Tuple | ast.Dict)
        yield Draft("-A", "with a minus", "sign", 0.5 if whole else 2.0)


def is_term(site: Site) -> bool:
    """A whole value, or a term of a sum: what a factor may be missing from; a floating-point array or number."""
    value = site.facts.value(site.node)
    if site.is_index or not (is_floating(value)):
        return False
    parent = site.parent
    if isinstance(parent, ast.BinOp):
        return not isinstance(parent.op, FACTORS) and not (isinstance(parent.op, ast.Pow) and parent.right is site.node)
    if isinstance(parent, ast.Attribute):
        return parent.attr in ("sum", "mean", "T")
    if isinstance(parent, ast.Subscript | ast.UnaryOp):
        return False
    if isinstance(parent, ast.Call):
        return site.in_call_of not in ("zeros_like", "ones_like", "empty_like", "len", "range", "isinstance", "shape")
    return True


def is_floating(value: Any) -> bool:
    return isinstance(value, float | np.floating) or isinstance(value, np.ndarray) and value.dtype.kind == "f"


# --- Terms and factors that are missing ------------------------------------------------------------------------------


def missing_terms(site: Site) -> Iterator[Draft]:
    """Something in scope, of the same shape, is added or subtracted; a mean is subtracted."""
    shape = site.shape
    if not shape or isinstance(site.parent, ast.BinOp) and isinstance(site.parent.op, SUMS):
        return
    if not is_term(site) and not _is_factor(site):
        return
    assigned = isinstance(site.parent, ast.Assign | ast.AugAssign | ast.Return | ast.Tuple)
    extra = 0.0 if assigned else 1.5
    for text, _ in fitting(site, shape):
        if text == site.text:
            continue
        key = _key_of_term(text)
        nodes = {"S": parsed(text)}
        yield Draft("A + S", f"with + {text}", key, extra + (1.0 if key.endswith("next") else 1.7), nodes)
        yield Draft("A - S", f"with - {text}", "target" if _is_target(text) else "missing term", extra + 2.5, nodes)
    for text in _gathered(site, shape):
        yield Draft("A + S", f"with + {text}", "missing term", extra + 1.6, {"S": parsed(text)})
    for text, value in site.scope.items():
        if _is_coefficient(text, value):
            for weight, _ in fitting(site, shape):
                for template in ("A + C * S", "A + 2 * C * S"):
                    nodes = {"C": parsed(text), "S": parsed(weight)}
                    yield Draft(template, "", "regularisation", extra + 3.0, nodes)
    for text, value in site.scope.items() if len(shape) <= 2 else ():
        if shape_of(value) == shape[:-1] and (
            is_whole(value) or isinstance(value, np.ndarray) and value.dtype.kind in "iu"
        ):
            yield Draft("A - np.eye(A.shape[-1])[S]", "", "target", 1.5 + extra, {"S": parsed(text)})
    if len(shape) == 2 and shape[0] == shape[1] > 1:
        yield Draft("A - np.eye(len(A))", "", "missing term", 2.0 + extra)
    if len(shape) > 1 or shape and shape[-1] > 1:
        for axis in [-1, *range(len(shape) - 1)]:
            call = f"mean({axis}, keepdims=True)"
            yield Draft(f"A - A.{call}", "", "missing term", 2.5 + extra)
            yield Draft(f"A - A.sum({axis}, keepdims=True)", "", "missing term", 3.0 + extra)
            for text, _ in fitting(site, shape):
                nodes = {"S": parsed(text)}
                yield Draft(f"A - S * (A * S).{call}", "", "missing term", 4.0 + extra, nodes)
                yield Draft(f"A - S * A.sum({axis}, keepdims=True)", "", "softmax", 3.0 + extra, nodes)
                yield Draft(f"S * (A - (A * S).sum({axis}, keepdims=True))", "", "softmax", 3.5 + extra, nodes)


def _gathered(site: Site, shape: tuple[int, ...]) -> Iterator[str]:
    """Rows of what is in scope, taken by arrays of whole numbers: what a sum over segments gives back to their members."""
    items = [(text, value) for text, value in site.scope.items() if isinstance(value, np.ndarray) and value.ndim]
    for index, rows in items:
        if rows.dtype.kind in "iu" and rows.size and shape[: rows.ndim] == rows.shape and rows.min() >= 0:
            for text, value in items:
                fits = value.dtype.kind == "f" and rows.shape + value.shape[1:] == shape
                if fits and rows.max() < len(value) and text not in site.zeros:
                    yield f"{text}[{index}]"


def epsilons(site: Site) -> Iterator[Draft]:
    """A small number is added under a root, in a denominator, or before a power; or it is left out."""
    node, parent = site.node, site.parent
    under = (
        site.in_call_of in ("sqrt", "log") or isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Div | ast.Pow)
    )
    if not under or not is_floating(site.facts.value(node)):
        return
    small = [text for text, value in site.scope.items() if isinstance(value, float) and 0 < value < 0.1]
    for text in small:
        yield Draft("A + S", f"with + {text}", "epsilon", 1.2, {"S": parsed(text)})
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and ast.unparse(node.right) in small:
        yield Draft("L", f"without + {ast.unparse(node.right)}", "epsilon", 0.8, {"L": node.left})


def _is_factor(site: Site) -> bool:
    parent = site.parent
    simple = isinstance(site.node, ast.Name | ast.Attribute | ast.Subscript)
    return (
        simple
        and isinstance(parent, ast.BinOp)
        and isinstance(parent.op, FACTORS)
        and is_floating(site.facts.value(site.node))
    )


def _key_of_term(text: str) -> str:
    name = text.lower()
    if "next" in name or "carry" in name:
        return "dc_next" if name.startswith("dc") or ".dc" in name else "dh_next"
    return "missing term"


def _is_target(text: str) -> bool:
    return any(word in text.lower() for word in ("target", "onehot", "one_hot", "label")) or text in ("y", "t")


def _is_coefficient(text: str, value: Any) -> bool:
    name = text.lower()
    return is_number(value) and any(word in name for word in ("lam", "reg", "decay", "l2", "alpha", "wd"))


def missing_factors(site: Site) -> Iterator[Draft]:
    """A term is multiplied or divided by something in scope that fits its shape, or by a function of it."""
    shape = site.shape
    if shape is not None and _scales(site):
        yield from _numbers(site, 0.5)
    if not is_term(site) or shape is None:
        return
    extra = 0.0 if isinstance(site.parent, ast.stmt | ast.Tuple | ast.Dict) else 0.7
    yield from _numbers(site, extra)
    for text, value in fitting(site, shape, exact=False) if shape else ():
        if text != site.text and text not in site.zeros:
            yield from _array_factors(text, value, shape, extra)
    for text, value in site.scope.items():
        ahead = isinstance(value, np.ndarray) and 0 < value.ndim < len(shape) and value.shape == shape[: value.ndim]
        if ahead and value.shape != shape[len(shape) - value.ndim :]:
            index = ", ".join([":"] * value.ndim + ["None"] * (len(shape) - value.ndim))
            yield Draft(f"A * S[{index}]", "", _key_of_mask(text), extra + 1.7, {"S": parsed(text)})
            yield Draft(f"A / S[{index}]", "", "", extra + 2.2, {"S": parsed(text)})
    whole = _shape_around(site)
    if whole and whole != shape:
        for text in (text for text, _ in fitting(site, whole) if text not in site.zeros):
            details = {"which": f": {text}"}
            yield Draft("A * S", f"with * {text}", "missing factor", extra + 2.0, {"S": parsed(text)}, details)
            yield Draft("A * np.sign(S)", "", "local derivative", extra + 3.0, {"S": parsed(text)})


def _scales(site: Site) -> bool:
    """What an array is multiplied or divided by in place, a whole number."""
    parent = site.parent
    augments = isinstance(parent, ast.AugAssign) and isinstance(parent.op, FACTORS)
    return augments and not is_floating(site.facts.value(site.node))


def _shape_around(site: Site) -> tuple[int, ...] | None:
    """Of the sum that the site is a term of, or of the call that it is an argument of."""
    shape = None
    for parent in reversed(site.parents):
        if not (isinstance(parent, ast.Call) or isinstance(parent, ast.BinOp) and isinstance(parent.op, SUMS)):
            return shape
        shape = site.facts.shape(parent)
    return shape


def _array_factors(text: str, value: Any, shape: tuple[int, ...], extra: float) -> Iterator[Draft]:
    nodes = {"S": parsed(text)}
    same = 0.0 if shape_of(value) == shape else 0.8
    if value.dtype.kind == "b":
        key = _key_of_mask(text)
        yield Draft("A * S", f"with * {text}", "mask" if key == "missing factor" else key, extra + 0.5, nodes)
        yield Draft("A * ~S", "", "mask", extra + 2.0, nodes)
        return
    if value.dtype.kind in "iu":
        yield Draft("A / S", f"with / {text}", "", extra + same + 1.5, nodes)
        yield Draft("A * S", f"with * {text}", "", extra + same + 2.0, nodes)
    if value.dtype.kind != "f":
        return
    cost = extra + same + 1.5
    zero_one = bool(np.isin(value, (0, 1)).all())
    key = _key_of_mask(text)
    key = "mask" if zero_one and key == "missing factor" else key
    yield Draft("A * S", f"with * {text}", key, cost - (1.0 if zero_one else 0.0), nodes, {"which": f": {text}"})
    if zero_one:
        yield Draft("A * (1 - S)", "", "mask", cost + 1, nodes)
        return
    if np.abs(value).max(initial=0) < 1:
        yield Draft("A * (1 - S ** 2)", "", "tanh", cost, nodes)
        if value.size and value.min() > 0:
            yield Draft("A * S * (1 - S)", "", "sigmoid", cost, nodes)
            yield Draft("A * (1 - S)", "", "sigmoid", cost + 0.5, nodes)
    yield Draft("A * (S > 0)", f"with * ({text} > 0)", "no relu", cost, nodes)
    yield Draft("A / S", f"with / {text}", "", cost + 0.7, nodes)
    yield Draft("A * 2 * S", "", "local derivative", cost + 1.5, nodes)
    for function in ("exp", "cos", "sign", "tanh"):
        yield Draft(f"A * np.{function}(S)", "", "local derivative", cost + 2.5, nodes)
    yield Draft("A * (1 - np.tanh(S) ** 2)", "", "tanh", cost + 2.0, nodes)


def _key_of_mask(text: str) -> str:
    name = text.lower()
    if "drop" in name or "keep" in name:
        return "dropout mask"
    if "mask" in name:
        return "mask"
    return "upstream ignored" if name in ("dy", "dout", "grad", "g", "upstream", "dz") else "missing factor"


def _numbers(site: Site, extra: float) -> Iterator[Draft]:
    """By a number: a length, a scale, one of the variables, two."""
    seen: dict[float, int] = {}
    variables = [(text, value) for text, value in site.scope.items() if is_number(value)]
    for text, value in [*variables, *_lengths(site)]:
        number = float(value)
        seen[number] = seen.get(number, 0) + 1
        if number in (0.0, 1.0) and text.endswith("]"):  # a mask's number for one step or row
            yield Draft("A * S", f"with * {text}", "mask", extra + 0.4, {"S": parsed(text)})
            yield Draft("A * (1 - S)", f"with * (1 - {text})", "mask", extra + 1.4, {"S": parsed(text)})
        if number in (0.0, 1.0) or not np.isfinite(number) or seen[number] > 6:
            continue
        whole = isinstance(value, int | np.integer)
        cost = extra + 0.2 * seen[number] + (0.5 if whole else 0.8) + 0.2 * ("." in text)
        hint = 1.5 if _tells(site.facts.ratio, number) else 0.0
        for draft in _by_number(text, number, whole, cost):
            yield replace(draft, hint=hint)
    for constant, names, key in (("2", 0.5, "halved"), ("0.5", 2.0, "doubled")):
        named = any(isinstance(value, float) and value == names for _, value in variables)
        yield Draft(f"{constant} * A", f"with {constant} *", key, extra + (2.0 if named else 1.0))


def _tells(ratio: float | None, number: float) -> bool:
    """The gradients are wrong by this number, or by its root."""
    if not ratio or number <= 0:
        return False
    powers = [np.log(number), np.log(number) / 2, *([np.log(1 - number)] if number < 1 else [])]
    return any(abs(abs(np.log(abs(ratio))) - abs(power)) < 1e-4 for power in powers)


def _by_number(text: str, number: float, whole: bool, cost: float) -> Iterator[Draft]:
    nodes, details = {"S": parsed(text)}, {"number": text}
    divided, multiplied = ("mean missing", "mean twice") if whole else ("factor", "factor")
    if number == 2 and whole:  # more likely a two than a length
        divided, multiplied = "doubled", "halved"
    yield Draft("A / S", f"with / {text}", divided, cost, nodes, details)
    yield Draft("A * S", f"with * {text}", multiplied, cost + 0.5, nodes, details)
    if number > 0:
        root = "factor" if text.endswith(".size") else "scale"  # d is a length, not how many elements there are
        yield Draft("A / np.sqrt(S)", f"with / √{text}", root, cost + 1.0, nodes)
        yield Draft("A * np.sqrt(S)", f"with * √{text}", root, cost + 1.5, nodes)
    if 0 < number < 1:
        key = "dropout scale" if _is_probability(text) else "factor"
        yield Draft("A / (1 - S)", f"with / (1 - {text})", key, cost, nodes)
        yield Draft("A * (1 - S)", f"with * (1 - {text})", key, cost + 0.5, nodes)
    if whole and number < 64:
        yield Draft("A / S ** 2", "", "factor", cost + 2.0, nodes)


def _is_probability(text: str) -> bool:
    """A share of what dropout drops or keeps."""
    name = parsed(text)
    last = name.slice.value if isinstance(name, ast.Subscript) and isinstance(name.slice, ast.Constant) else text
    last = str(last).split(".")[-1].lower()
    return last in ("p", "rate", "prob", "q") or any(word in last for word in ("drop", "keep"))


def _lengths(site: Site) -> Iterator[tuple[str, int]]:
    """Lengths and sizes of arrays in scope, plain variables first."""
    arrays = [(text, value) for text, value in site.scope.items() if isinstance(value, np.ndarray) and value.ndim]
    arrays.sort(key=lambda pair: pair[0].count("[") + pair[0].count("."))
    for text, value in arrays[:LENGTHS]:
        for axis, length in enumerate(value.shape):
            yield f"{text}.shape[{axis}]", length
        if value.ndim > 1:
            yield f"{text}.size", value.size
        if value.ndim > 2 and value.size:
            yield f"{text}[0].size", value[0].size  # of an example, of a picture's plane
        if value.ndim > 3 and value.size:
            yield f"{text}[0, 0].size", value[0, 0].size
