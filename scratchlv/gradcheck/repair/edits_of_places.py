"""Edits of indices, slices, ranges, constants, comparisons, calls and orders."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

import numpy as np

from scratchlv.gradcheck.repair.edits import Draft, Site, base_of, build, name_of, parsed
from scratchlv.gradcheck.repair.edits_of_terms import is_floating
from scratchlv.gradcheck.repair.facts import is_number, is_whole

FUNCTIONS = {
    "argmax": ("argmin",),
    "argmin": ("argmax",),
    "maximum": ("minimum",),
    "minimum": ("maximum",),
    "zeros_like": ("ones_like",),
    "ones_like": ("zeros_like",),
    "zeros": ("ones",),
    "ones": ("zeros",),
    "tanh": ("exp", "cosh"),
    "exp": ("log",),
    "log": ("exp",),
    "sin": ("cos",),
    "cos": ("sin",),
    "sqrt": ("square",),
    "square": ("sqrt",),
    "abs": ("sign",),
    "sign": ("abs",),
    "repeat": ("tile",),
    "tile": ("repeat",),
    "vstack": ("hstack",),
    "hstack": ("vstack",),
    "floor": ("ceil",),
    "cumsum": ("sum",),
}

LOCAL = ("tanh", "exp", "log", "sin", "cos", "sqrt", "square", "abs", "sign")


def indices(site: Site) -> Iterator[Draft]:
    """An index by one, another index, another slice; whole arrays for items."""
    node = site.node
    if isinstance(node, ast.Subscript):
        yield from _subscript(site, node)
    assigned = (
        bool(site.loops) and isinstance(site.parent, ast.Assign | ast.Tuple) and isinstance(site.statement, ast.Assign)
    )
    whole = (
        assigned
        or site.is_index
        or site.in_call_of in ("range", "reversed", "arange", "zeros", "reshape", "pad", "enumerate")
        or hasattr(site.facts.names.get(site.in_call_of), "__code__")  # a function of the user's
    )
    bound = isinstance(site.parent, ast.Slice)
    value = site.facts.value(node)
    if isinstance(node, ast.Constant):
        value = node.value
    if not (whole or bound) or not is_whole(value) or isinstance(node, ast.UnaryOp):
        return
    stored = isinstance(getattr(site.parent, "ctx", None), ast.Store)
    time = bool(site.loops) and not isinstance(node, ast.Constant)
    back = "+" if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) else "-"
    shifted = (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub) and isinstance(node.right, ast.Constant)
    )
    if shifted:
        assert isinstance(node, ast.BinOp)
        yield Draft("L", "", _key_of_shift(site, back, time), 0.3, {"L": node.left})
    for sign in "" if isinstance(node, ast.Constant) else "-+":  # of a constant: constants()
        if shifted and sign == back:
            continue
        key = _key_of_shift(site, sign, time)
        yield Draft(f"A {sign} 1", f"with {site.text} {sign} 1", key, 0.4 + (0.6 if bound or stored else 0), {})
    for text, other in site.scope.items():
        if is_whole(other) and text != site.text:
            near = 0.0 if bound or site.loops else 1.0
            nodes = {"S": parsed(text)}
            key = _key_of_number(text)
            named = -0.7 if key else 0.0
            yield Draft("A * S", f"with {site.text} * {text}", key, 1.7 + near + named, nodes)
            key = "" if key == "stride" else key
            yield Draft("A + S", f"with {site.text} + {text}", key, 1.7 + near + named, nodes)
            yield Draft("A - S", f"with {site.text} - {text}", key, 2.0 + near + named, nodes)
            yield Draft("A // S", f"with {site.text} // {text}", "", 2.5 + near + named, nodes)
            yield Draft("S - 1 - A", "", "", 3.5 + near, nodes)
    if not isinstance(node, ast.Constant):
        yield Draft("2 * A", f"with 2 * {site.text}", "", 2.0)
        yield Draft("-A", f"with -{site.text}", "", 2.5)


def _key_of_number(text: str) -> str:
    name = text.lower()
    return "stride" if "stride" in name or name == "s" else "padding" if "pad" in name or name == "p" else ""


def _key_of_shift(site: Site, sign: str, time: bool) -> str:
    if not time:
        return ""
    if site.in_call_of in ("range", "reversed"):
        return _key_of_bound(site, larger=sign == "+")
    owner = next((base_of(each.value) for each in reversed(site.parents) if isinstance(each, ast.Subscript)), "")
    if owner.lower().startswith(("h", "c")) and len(owner) <= 3:
        later = "h_{t−1}" if owner[0].lower() == "h" else "index by one"  # the step before was taken
        return later if sign == "+" else "c_t" if owner[0].lower() == "c" else "h_t"
    return "index by one"


def _key_of_bound(site: Site, larger: bool) -> str:
    """Whether a loop gets a round more if a bound of its range is larger, or smaller: then one was left out."""
    call = next(
        (each for each in reversed(site.parents) if isinstance(each, ast.Call) and name_of(each.func) == "range"), None
    )
    if call is None:
        return ""
    at = next((i for i, each in enumerate(call.args) if each is site.node or each in site.parents), 0)
    start = at == 0 and len(call.args) > 1
    down = len(call.args) == 3 and isinstance(call.args[2], ast.UnaryOp)
    return "round left out" if (larger != start) != down else "round too many"


def _subscript(site: Site, node: ast.Subscript) -> Iterator[Draft]:
    if isinstance(node.ctx, ast.Load):
        yield Draft("B", f"without {site.text.removeprefix(ast.unparse(node.value))}", "", 2.0, {"B": node.value})
        yield from _sums(site, node)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    texts = [*map(ast.unparse, parts)]
    for number, part in enumerate(parts):
        for new, cost in _other_parts(part):
            yield _indexed(node, [*texts[:number], new, *texts[number + 1 :]], cost)
    for i, j in itertools.combinations(range(len(parts)), 2):
        order = list(texts)
        order[i], order[j] = order[j], order[i]
        yield _indexed(node, order, 2.0)
    yield from _rows_of(site, node, texts)
    yield from _chosen_place(site, node, parts)
    sliced = [number for number, part in enumerate(parts) if isinstance(part, ast.Slice)]
    for text, value in site.scope.items() if len(sliced) > 1 else ():
        if is_whole(value) and 0 < value < 8:
            crop = [f"{text}:-{text}" if number in sliced[-2:] else each for number, each in enumerate(texts)]
            yield _indexed(node, crop, 2.5, "padding")


def _chosen_place(site: Site, node: ast.Subscript, parts: list[ast.expr]) -> Iterator[Draft]:
    """One place of a window, by whole numbers that are found and never used: ``a[i + p]`` for ``a[i:i + k]``."""
    names = [each for each in ast.walk(site.function.node) if isinstance(each, ast.Name)]
    read = {each.id for each in names if isinstance(each.ctx, ast.Load)}
    unused = [each.id for each in names if each.id not in read and is_whole(site.scope.get(each.id))]
    unused = list(dict.fromkeys(unused))
    windows = [part for part in parts if isinstance(part, ast.Slice) and not part.step]
    if not unused or len(unused) != len(windows):
        return
    places = iter(unused)
    texts = [_inside_of(part, next(places)) if part in windows else ast.unparse(part) for part in parts]
    yield _indexed(node, texts, 0.5, "all places")


def _inside_of(window: ast.expr, place: str) -> str:
    assert isinstance(window, ast.Slice)
    return f"{ast.unparse(window.lower)} + {place}" if window.lower else place


def _sums(site: Site, node: ast.Subscript) -> Iterator[Draft]:
    """A sum over an axis of which a part is taken: ``dz.sum(0)`` for ``dz[-1]``, with keepdims for ``dz[:, :1]``."""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    taken = [axis for axis, part in enumerate(parts) if not _is_whole_axis(part)]
    dimensions = len(site.facts.shape(node.value) or ())
    if taken == [0] and dimensions == 1 and not isinstance(parts[0], ast.Slice):
        yield Draft("B.sum()", "", "batch sum", 1.0, {"B": node.value})
    if len(taken) != 1 or dimensions < 2 or not is_floating(site.facts.value(node.value)):
        return
    axis, part = taken[0], parts[taken[0]]
    keep = ", keepdims=True" if isinstance(part, ast.Slice) else ""
    for order, each in enumerate(dict.fromkeys([axis, *range(dimensions)])):
        last = each - dimensions if each and each == dimensions - 1 else each
        key, details = ("sum", {"axis": f"axis {each}"}) if each else ("batch sum", {})
        yield Draft(f"B.sum({last}{keep})", "", key, 1.0 + 0.5 * order, {"B": node.value}, details)


def _is_whole_axis(part: ast.expr) -> bool:
    return isinstance(part, ast.Slice) and not (part.lower or part.upper or part.step)


def _indexed(node: ast.Subscript, parts: list[str], cost: float, key: str = "") -> Draft:
    nodes = {"B": node.value, "I": parsed(f"_[{', '.join(parts)}]").slice}  # type: ignore[attr-defined]
    return Draft("B[I]", "", key, cost, nodes)


def _rows_of(site: Site, node: ast.Subscript, texts: list[str]) -> Iterator[Draft]:
    """One place in each row, where ``dz[y]`` or ``dz[:, y]`` stands for ``dz[np.arange(len(y)), y]``; another index array."""
    numpy = site.facts.numpy
    for text in texts:
        if numpy and not text.startswith(numpy) and ":" not in text:
            yield _indexed(node, [f"{numpy}.arange(len({text}))", text], 1.5)
    for number, text in enumerate(texts):
        for other, value in site.scope.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "ib" and other != text:
                yield _indexed(node, [*texts[:number], other, *texts[number + 1 :]], 2.0, "wrong rows")


def _other_parts(part: ast.expr) -> Iterator[tuple[str, float]]:
    if not isinstance(part, ast.Slice):
        if isinstance(part, ast.Constant | ast.UnaryOp):
            yield from ((":", 2.0), ("-1", 1.0), ("0", 1.0))
        return
    text = ast.unparse(part)
    options = [("", 1.0), (":-1", 1.2), ("1:", 1.2), ("::-1", 1.0)]
    for new, cost in options:
        if (new or ":") != text:
            yield new or ":", cost + 1.0
    lower, upper = (ast.unparse(each) if each else "" for each in (part.lower, part.upper))
    if bool(lower) != bool(upper):  # the other half
        yield f":{lower}" if lower else f"{upper}:", 1.0
        yield f":-{lower}" if lower else f"-{upper}:", 2.0
    if lower and upper:
        yield f"{lower}:", 1.5
        yield f":{upper}", 1.5
        yield f"{upper}:2 * {upper}", 2.5


def flips(site: Site) -> Iterator[Draft]:
    """An array is reversed along its axes, cropped or padded."""
    node, shape = site.node, site.shape
    if isinstance(node, ast.Call) and name_of(node.func) in ("flip", "fliplr", "flipud", "rot90", "roll") and node.args:
        key = "index by one" if name_of(node.func) == "roll" else "kernel not flipped"
        yield Draft("B", f"without {name_of(node.func)}", key, 0.5, {"B": node.args[0]})
    two = isinstance(node, ast.List) and len(node.elts) == 2  # orders() exchanges them
    if isinstance(site.facts.value(node), list) and not site.is_index and not two:
        stacked = site.in_call_of in ("concatenate", "hstack", "vstack", "stack", "column_stack")
        yield Draft("A[::-1]", "with [::-1]", "gates" if stacked else "reversed", 1.0)
    if not shape or site.is_index or isinstance(site.parent, ast.Attribute):
        return
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return
    simple = isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
    if simple and len(shape) >= 2:
        yield Draft("A[..., ::-1, ::-1]", "with [..., ::-1, ::-1]", "kernel not flipped", 2.0)
    if len(shape) >= 3 and (simple or isinstance(site.parent, ast.stmt | ast.Tuple | ast.Call)):
        yield Draft("A[:, ::-1]", "with [:, ::-1]", "reversed", 2.2 if simple else 2.6)
    if simple:
        yield Draft("A[::-1]", "with [::-1]", "reversed", 2.2)
        yield Draft("A[..., ::-1]", "with [..., ::-1]", "", 3.0)
    if len(shape) >= 2 and isinstance(site.parent, ast.stmt | ast.Tuple):
        for text, value in site.scope.items():
            if is_whole(value) and 0 < value < min(shape[-2:]) / 2:
                for crop in ("..., P:-P, P:-P", ":, P:-P, P:-P", "P:-P, P:-P", "P:-P", ":, P:-P"):
                    yield Draft(f"A[{crop}]", "", "padding", 2.5, {"P": parsed(text)})


def parts_of_loops(site: Site) -> Iterator[Draft]:
    """A loop over a part of what it walks through: to a length, or without its first or last."""
    if (
        not isinstance(site.parent, ast.For)
        or site.slot[1] != "iter"
        or not isinstance(site.facts.value(site.node), np.ndarray)
    ):
        return
    yield Draft("A[1:]", "with [1:]", "round too many", 1.8)
    yield Draft("A[:-1]", "with [:-1]", "round too many", 1.8)
    for text, value in site.scope.items():
        if is_whole(value):
            key = "mask" if "len" in text else "round too many"
            yield Draft("A[:S]", f"with [:{text}]", key, 1.8, {"S": parsed(text)})


def constants(site: Site) -> Iterator[Draft]:
    node = site.node
    if not isinstance(node, ast.Constant) or not is_number(node.value):
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield Draft(repr(not node.value), f"with {not node.value} for {node.value}", "", 1.0)
        return
    value = node.value
    assert isinstance(value, int | float)
    counted = {base_of(loop.target) for loop in site.loops if isinstance(loop, ast.For)}
    factor = isinstance(site.parent, ast.BinOp) and isinstance(site.parent.op, ast.Mult | ast.Div)
    key = "factor" if factor else "local derivative" if isinstance(site.parent, ast.BinOp) else ""
    if not is_floating(site.facts.value(site.parent)):  # an index, a length
        key = ""
    new: list[float]
    if isinstance(value, int):
        new = [value + 1, value - 1, 2 * value, -value, 0, 1, 2, -1, 0.5]
    else:
        new = [1.0, 2 * value, value / 2, 0.0, 1 - value, -value, value + 1, value - 1, 1 / value if value else 2.0]
        new += [value**2, value * 10, value / 10, 3 * value, value / 3]
    for order, each in enumerate(dict.fromkeys(new)):
        if each != value:
            if site.in_call_of == "range" and abs(each - value) == 1:
                key = _key_of_bound(site, larger=each > value)
            yield Draft(f"{each!r}", f"with {each!r} for {value!r}", key, 0.8 + 0.15 * order)
    yield from _sum_of_its_rows(site)
    for text, other in site.scope.items():
        plain = isinstance(other, np.ndarray) and other.dtype.kind == "f"
        if plain or is_number(other) and not (site.is_index and not is_whole(other)):
            cost = 1.0 if site.is_index and text in counted else 2.2
            yield Draft("S", f"with {text} for {value!r}", "", cost, {"S": parsed(text)})


def _sum_of_its_rows(site: Site) -> Iterator[Draft]:
    """``d[rows, labels] -= d.sum(1)`` for ``-= 1``: as many as there are, as of the margins of a hinge loss."""
    statement = site.statement
    if not isinstance(statement, ast.AugAssign) or statement.value is not site.node:
        return
    target = statement.target
    whole = target.value if isinstance(target, ast.Subscript) else None
    if isinstance(whole, ast.Name) and np.ndim(site.scope.get(whole.id, 0)) == 2:
        yield Draft("B.sum(1)", "", "sum", 1.0, {"B": parsed(whole.id)}, {"axis": "its rows"})


def _is_positive(value: object) -> bool:
    return isinstance(value, np.ndarray) and bool((value >= 0).all())


def comparisons(site: Site) -> Iterator[Draft]:
    node = site.node
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        both = {"L": node.left, "R": node.comparators[0]}
        signs = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}
        now = signs.get(type(node.ops[0]), "")
        likely = {">": "<", "<": ">", ">=": "<", "<=": ">", "==": "!=", "!=": "=="}
        for sign in signs.values() if now else ():
            if sign != now:
                zero = isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value == 0
                key = "ties" if "=" in sign + now and sign.strip("=") == now.strip("=") else "relu" if zero else ""
                if key == "ties" and zero:  # x >= 0 of what a ReLU has made is all of it
                    key = "no relu" if now == ">=" and _is_positive(site.facts.value(node.left)) else ""
                if key == "relu" and likely[now] == sign:
                    key = "mask inverted"
                key = key if site.shape else ""  # of numbers it tells nothing
                cost = 0.5 if likely[now] == sign else 1.5
                yield Draft(f"L {sign} R", f"with {sign} for {now}", key, cost, both)
    if isinstance(node, ast.BoolOp) and len(node.values) == 2:
        both = {"L": node.values[0], "R": node.values[1]}
        for template in ("L", "R", "L or R" if isinstance(node.op, ast.And) else "L and R"):
            yield Draft(template, "", "", 1.5, both)
    value = site.facts.value(node)
    if isinstance(value, np.ndarray) and value.dtype == bool:
        yield Draft("~A", f"with ~{site.text}", "mask inverted", 0.8 if isinstance(node, ast.Name) else 1.5)
    if isinstance(site.parent, ast.If | ast.IfExp | ast.While) and site.slot[1] == "test":
        yield Draft("not A", "with the opposite condition", "", 1.5)
        if not isinstance(site.parent, ast.While):
            yield Draft("True", "without the condition", "", 1.8)
            yield Draft("False", "never", "", 2.5)


def calls(site: Site) -> Iterator[Draft]:
    """Another function, arguments exchanged or left out, without the call."""
    node = site.node
    if not isinstance(node, ast.Call):
        return
    name, func = name_of(node.func), node.func
    arguments = {f"A{number}": each for number, each in enumerate(node.args)}
    nodes = {"F": func, **arguments}
    if any(isinstance(each, ast.Starred) for each in node.args) or any(each.arg is None for each in node.keywords):
        return
    keywords = [f"{each.arg}=K{number}" for number, each in enumerate(node.keywords)]
    nodes |= {f"K{number}": each.value for number, each in enumerate(node.keywords)}
    listed = list(arguments)
    for i, j in itertools.combinations(range(len(listed)), 2):
        order = list(listed)
        order[i], order[j] = order[j], order[i]
        yield Draft(f"F({', '.join([*order, *keywords])})", "with the arguments exchanged", "", 1.5, nodes)
    if len(listed) == 1 and name not in ("range", "len", "zeros_like", "ones_like"):
        yield Draft("A0", f"without {name}", "float32" if name in ("float32", "float16") else "", 1.8, nodes)
    if isinstance(func, ast.Attribute) and name in ("astype", "copy", "reshape", "clip", "round", "squeeze", "ravel"):
        yield Draft("B", f"without .{name}", "float32" if name == "astype" else "", 0.7, {"B": func.value})
    for number in range(len(keywords)):
        rest = [*listed, *keywords[:number], *keywords[number + 1 :]]
        keyword = node.keywords[number].arg
        key = _key_of_dtype(site) if keyword == "dtype" else ""
        yield Draft(
            f"F({', '.join(rest)})", f"without {keyword}=", key, 1.0 if key else 2.5, nodes, {"where": "backward"}
        )
    for other in FUNCTIONS.get(name, ()):
        module = {"M": func.value} if isinstance(func, ast.Attribute) else {}
        if module:
            called = f"M.{other}({', '.join([*listed, *keywords])})"
            key = "wrong function" if name in LOCAL else ""
            yield Draft(called, f"with {other} for {name}", key, 1.2, nodes | module, {"one": name, "other": other})
    yield from _ranges(node, name)
    if name in ("clip", "maximum", "minimum") and listed:
        yield Draft("A0", f"without {name}", "", 1.5, nodes)
    if name == "where" and len(listed) == 3:
        yield Draft("F(A0, A2, A1)", "with the cases exchanged", "mask inverted", 1.0, nodes)
    if name == "reshape" and isinstance(func, ast.Attribute) and len(node.args) >= 1:
        yield Draft("B.T.reshape(R)", "", "transposed", 2.5, {"B": func.value, "R": ast.Tuple(node.args, ast.Load())})


def _key_of_dtype(site: Site) -> str:
    made = site.facts.value(site.node)
    return "whole numbers" if isinstance(made, np.ndarray) and made.dtype.kind in "iu" else "float32"


def _ranges(node: ast.Call, name: str) -> Iterator[Draft]:
    if name == "reversed" and len(node.args) == 1:
        yield Draft("B", "without reversed", "", 0.8, {"B": node.args[0]})
    if name != "range":
        return
    nodes = {f"A{number}": each for number, each in enumerate(node.args)}
    if len(node.args) == 1:
        yield Draft("reversed(range(A0))", "with reversed", "", 0.8, nodes)
        yield Draft("range(1, A0)", "", "round too many", 1.5, nodes)
        yield Draft("range(A0 - 1)", "", "round too many", 1.5, nodes)
        yield Draft("range(A0 + 1)", "", "round left out", 1.0, nodes)
    else:
        yield Draft("range(A1)", "", "round left out", 1.0, nodes)
        yield Draft("range(A0 - 1, A1)", "", "round left out", 1.5, nodes)
    if len(node.args) == 3:
        yield Draft("range(A0, -1, -1)", "", "round left out", 1.0, nodes)
        yield Draft("range(A1 + 1, A0 + 1)", "with the steps in the other order", "", 1.5, nodes)
        yield Draft("range(A0, A1, 1)", "", "", 3.0, nodes)


def functions(site: Site) -> Iterator[Draft]:
    """Another function of the user's."""
    node, slot = site.node, site.slot
    if not isinstance(node, ast.Name) or not isinstance(slot[0], ast.Call) or slot[1] != "func":
        return
    function = site.facts.names.get(node.id)
    if function is None or not hasattr(function, "__code__"):
        return
    count = function.__code__.co_argcount
    for name, other in site.facts.names.items():
        code = getattr(other, "__code__", None)
        if name != node.id and code and code.co_argcount == count and code.co_filename == function.__code__.co_filename:
            key = "local derivative" if _is_derivative(name) and _is_derivative(node.id) else "other function"
            details = {"one": node.id, "other": name}
            yield Draft("S", f"with {name} for {node.id}", key, 1.5, {"S": parsed(name)}, details)


def _is_derivative(name: str) -> bool:
    """By its name: ``dtanh``, ``relu_grad``, ``sigmoid_prime``."""
    return name.startswith("d") or any(word in name for word in ("grad", "deriv", "prime", "slope"))


def orders(site: Site) -> Iterator[Draft]:
    """Two elements of a tuple, a list or the values of a dict exchanged."""
    node = site.node
    if isinstance(node, ast.Dict):
        for i, j in itertools.combinations(range(len(node.values)), 2):
            values = list(node.values)
            values[i], values[j] = values[j], values[i]
            nodes: dict[str, ast.expr] = {"D": ast.copy_location(ast.Dict(node.keys, values), node)}
            yield Draft("D", f"with {_pair(node.values, i, j)} exchanged", "order", 1.0, nodes)
        return
    if not isinstance(node, ast.Tuple | ast.List) or not 2 <= len(node.elts) <= 12 or site.is_index:
        return
    returned = isinstance(site.parent, ast.Return)
    key = "order" if returned else "gates" if len(node.elts) in (3, 4) else "exchanged"
    for i, j in itertools.combinations(range(len(node.elts)), 2):
        elements = list(node.elts)
        elements[i], elements[j] = elements[j], elements[i]
        nodes = {"D": _with(node, elements)}
        cost = 0.3 if returned else 1.0
        pair = _pair(node.elts, i, j)
        yield Draft("D", f"with {pair} exchanged", key, cost + 0.1 * (j - i), nodes, {"pair": pair})
    if 3 <= len(node.elts) <= 5:
        for order in itertools.permutations(node.elts):
            if sum(a is not b for a, b in zip(order, node.elts, strict=True)) > 2:
                yield Draft("D", "in another order", key, 2.0, {"D": _with(node, list(order))})


def scaled(site: Site) -> Iterator[Draft]:
    """Each element of a tuple of numbers multiplied by, or moved by, another one: ``i * stride, j * stride``."""
    node = site.node
    if not isinstance(node, ast.Tuple) or site.is_index or not node.elts:
        return
    if not all(is_whole(site.facts.value(each)) for each in node.elts):
        return
    for text, value in site.scope.items():
        if is_whole(value):
            key = _key_of_number(text)
            for sign, cost in (("*", 1.0 if key else 1.5), ("+", 2.0), ("-", 2.0)):
                elements = [build(f"E {sign} S", each, {"E": each, "S": parsed(text)}) for each in node.elts]
                yield Draft("D", "", key, cost, {"D": _with(node, elements)})


def _with(node: ast.Tuple | ast.List, elements: list[ast.expr]) -> ast.expr:
    return ast.copy_location(type(node)(elements, node.ctx), node)


def _pair(nodes: list[ast.expr], i: int, j: int) -> str:
    return f"{ast.unparse(nodes[i])} and {ast.unparse(nodes[j])}"


def precisions(site: Site) -> Iterator[Draft]:
    """float64 for float32."""
    node = site.node
    if isinstance(node, ast.Attribute) and node.attr in ("float32", "float16"):
        yield Draft("M.float64", f"with float64 for {node.attr}", "float32", 0.0, {"M": node.value})
    if isinstance(node, ast.Constant) and node.value in ("float32", "float16", "f4", "f"):
        yield Draft("'float64'", f"with float64 for {node.value}", "float32", 0.0)
