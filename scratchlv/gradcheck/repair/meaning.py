"""What a mend shows: the cause that it speaks for, and none where it could be an accident of algebra."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.repair.activations import Activations
from scratchlv.gradcheck.repair.edits import Edit, Site, base_of, name_of
from scratchlv.gradcheck.repair.edits_of_products import is_operand
from scratchlv.gradcheck.trees import leaves

ATOMS = ast.Name | ast.Attribute | ast.Subscript
STACKS = ("concatenate", "hstack", "vstack", "stack", "column_stack")
CLOSE = 1e-9
SHORT = 24  # characters of a name that is shown
Meaning = tuple[str, dict[str, str]]


def meaning(edit: Edit, evidence: Evidence, activations: Activations) -> Meaning:
    """The key of the cause, "" if the edit alone tells none, and its details."""
    key, details, site = edit.key, edit.details, edit.site
    if edit.exchanged and _are_gates(edit, activations):
        return "gates", {}
    if key == "gates" and not activations.gated:
        return "exchanged", {"pair": _exchanged(edit)}
    if site is None or len(edit.changes) > 1:
        return key, details
    new = edit.changes[0][1]()
    if not isinstance(new, ast.expr):
        return key, details
    if key == "mean missing" and _counts_rounds(site, details.get("number", "")):
        return ("factor" if _is_another_number(site, details["number"]) else "each round"), {}
    if key == "dropout mask" and _is_of_rows(new):
        return "mask", {}
    if key == "missing factor" and (mean := _of_division(site, new)) is not None:
        return mean
    if key == "missing term" and (_is_there(site, new) or _is_factor_of_a_product(site)):
        return "", {}
    if key == "batch sum" and not _over_the_batch(site, new, evidence):
        return "sum", {"axis": "axis 0"}
    if key == "factor" and _is_root(site, new):
        return "scale", {}
    if key in ("", "wrong rows"):
        return _of_place(site, new, evidence) or _of_division(site, new) or _of_name(site, new) or (key, details)
    if key.startswith("W for Wᵀ"):
        return _of_transpose(site, new, evidence, key)
    values = list(_values(site, new, added=key in ("upstream ignored", "target", "regularisation")))
    return (key, details) if _holds(key, values, evidence, activations) else ("", {})


def _over_the_batch(site: Site, new: ast.expr, evidence: Evidence) -> bool:
    """Whether the first axis of what is summed can be the batch: an output that is an array has it, too."""
    summed = new.func.value if isinstance(new, ast.Call) and isinstance(new.func, ast.Attribute) else site.node
    shape = site.facts.shape(summed) or site.shape
    outputs = [np.shape(each) for each in leaves(evidence.dy)]
    return not shape or not any(outputs) or any(shape[0] in each for each in outputs)


def _is_root(site: Site, new: ast.expr) -> bool:
    """Whether the factor is 1/√d, for a length d of an array in scope: a number that is called a scale, or an odd root."""
    factor = new.right if isinstance(new, ast.BinOp) and isinstance(new.op, ast.Mult | ast.Div) else None
    text = ast.unparse(factor) if isinstance(factor, ATOMS) else ""
    number = site.scope.get(text)
    if not isinstance(number, int | float | np.number) or not number > 0:
        return False
    square = float(max(number**2, 1 / number**2))
    lengths = {length for value in site.scope.values() for length in np.shape(value) if isinstance(value, np.ndarray)}
    named = "scale" in text.lower() or not float(np.sqrt(square)).is_integer()
    return named and any(length > 1 and abs(square / length - 1) < CLOSE for length in lengths)


def _are_gates(edit: Edit, activations: Activations) -> bool:
    """What is exchanged are activations of gates, or what is put together for all gates."""
    whole = any(isinstance(each, ast.Call) and name_of(each.func) in STACKS for each in ast.walk(edit.statement))
    of_gates = all(
        activations.uses("sigmoid", [value]) or activations.uses("tanh", [value]) for value in edit.exchanged
    )
    return activations.gated and (whole or of_gates)


def _exchanged(edit: Edit) -> str:
    found = edit.described()
    return found.removeprefix("with ").removesuffix(" exchanged") if found.endswith(" exchanged") else "their order"


# --- Names and indices ------------------------------------------------------------------------------------------------


def _of_place(site: Site, new: ast.expr, evidence: Evidence) -> Meaning | None:
    """Another index, or another part of the same array."""
    node = site.node
    if isinstance(node, ast.Subscript) and isinstance(new, ast.Subscript) and base_of(node) == base_of(new):
        around, shown = node, (ast.unparse(node.slice), ast.unparse(new.slice))
        if ast.unparse(node.value) != ast.unparse(new.value):
            return None
    else:
        chain = (*site.parents, node)
        pairs = list(zip(chain, chain[1:], strict=False))
        subscripts = [a for a, b in pairs if isinstance(a, ast.Subscript) and a.slice is b]
        if not subscripts:
            return None
        around, shown = subscripts[-1], (site.text, ast.unparse(new))
    if isinstance(around.ctx, ast.Store):
        names = {each.id for each in ast.walk(around.slice) if isinstance(each, ast.Name)}
        largest = bool(names & _found_by_argmax(site)) or "argmax" in ast.unparse(around.slice)
        if largest and isinstance(new, ast.Subscript) and _chooses_labels(site, new, evidence):
            return "picked", {}
        if isinstance(site.statement, ast.Assign | ast.AugAssign) and isinstance(site.statement.value, ast.Constant):
            return "wrong place", {"which": _for(*shown)}  # a one, as of a target: no gradient
        return ("argmax" if largest else "wrong rows"), {}
    return "wrong place", {"which": _for(*shown)}


def _chooses_labels(site: Site, new: ast.Subscript, evidence: Evidence) -> bool:
    """Whether the place that is meant is that of the labels, an input of whole numbers."""
    labels = [x for x in evidence.inputs.values() if isinstance(x, np.ndarray) and x.dtype.kind in "iu" and x.ndim]
    texts = [ast.unparse(each) for each in ast.walk(new.slice) if isinstance(each, ATOMS)]
    return any(_equal(site.scope.get(text), label) for text in texts for label in labels)


def _found_by_argmax(site: Site) -> set[str]:
    """Variables of the function that an argmax is kept in."""
    return {
        each.id
        for statement in ast.walk(site.function.node)
        if isinstance(statement, ast.Assign) and "argm" in ast.unparse(statement.value)
        for target in statement.targets
        for each in ast.walk(target)
        if isinstance(each, ast.Name)
    }


def _for(used: str, wanted: str) -> str:
    return f": {used} for {wanted}" if max(len(used), len(wanted)) <= SHORT else ""


def _of_name(site: Site, new: ast.expr) -> Meaning | None:
    """Another variable, or a sum of the same one."""
    node = site.node
    if isinstance(node, ast.Constant) and isinstance(new, ast.Constant | ast.UnaryOp) and site.in_call_of != "range":
        return "wrong number", {"one": site.text, "other": ast.unparse(new)}
    if isinstance(node, ast.Subscript) and isinstance(new, ast.Call) and name_of(new.func) == "sum":
        return None
    if not isinstance(node, ATOMS) or not isinstance(new, ATOMS) or _is_view(node) or _is_view(new):
        return None
    used, wanted = ast.unparse(node), ast.unparse(new)
    if "::-1" in wanted and wanted.startswith(used):  # the other way round: of an array, or of all that goes with it
        return "", {}
    if used in (f"{wanted}[:-1]", f"{wanted}[1:]"):
        return "left out", {"which": wanted}
    if used.startswith(wanted) and "::-1" in used:
        return "flipped", {"which": wanted}
    if max(len(used), len(wanted)) > SHORT or isinstance(getattr(node, "ctx", None), ast.Store):
        return None
    return "wrong name", {"one": used, "other": wanted}


def _counts_rounds(site: Site, number: str) -> bool:
    """Whether a loop around it has so many rounds: then it is there once too often in each, and no mean is missing."""
    loops = (loop for loop in site.loops if isinstance(loop, ast.For))
    return any(
        isinstance(each, ATOMS) and ast.unparse(each) == number for loop in loops for each in ast.walk(loop.iter)
    )


def _is_another_number(site: Site, number: str) -> bool:
    """Whether something else in the statement is as large as the rounds of the loop: then it may be that which is meant."""
    rounds = site.scope.get(number)
    others = {ast.unparse(each) for each in ast.walk(site.statement) if isinstance(each, ATOMS | ast.Constant)} - {
        number
    }
    return any(_equal(site.scope.get(text, int(text) if text.isdigit() else None), rounds) for text in others)


def _is_of_rows(new: ast.expr) -> bool:
    """A mask of what is kept with a number for each row, as of sentences that end and of targets that do not count."""
    return any(
        isinstance(each, ast.Subscript)
        and "None" in ast.unparse(each.slice)
        and "keep" in ast.unparse(each.value).lower()
        for each in ast.walk(new)
    )


def _is_factor_of_a_product(site: Site) -> bool:
    """What is mended is a factor, such as an array of the cache: that another one is needed there does not make it a term."""
    products = ast.Mult | ast.Div | ast.MatMult
    return isinstance(site.node, ATOMS) and isinstance(site.parent, ast.BinOp) and isinstance(site.parent.op, products)


def _is_there(site: Site, new: ast.expr) -> bool:
    """What is added is a factor of what it is added to: a + a b is an accident of algebra, and no term that was forgotten."""
    added = new.right if isinstance(new, ast.BinOp) and isinstance(new.op, ast.Add | ast.Sub) else None
    around = [*ast.walk(site.node), *(ast.walk(site.parent) if isinstance(site.parent, ast.BinOp) else ())]
    return added is not None and any(ast.dump(each) == ast.dump(added) for each in around if isinstance(each, ATOMS))


def _of_division(site: Site, new: ast.expr) -> Meaning | None:
    """A division by counts, where there is none, or one by another number."""
    if not (isinstance(new, ast.BinOp) and isinstance(new.op, ast.Div)):
        return None
    counts = new.right.value if isinstance(new.right, ast.Subscript) else new.right
    value = site.scope.get(ast.unparse(counts))
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
        return None
    node = site.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and ast.dump(node.left) == ast.dump(new.left):
        return "mask in the mean", {}
    return ("mean missing", {"number": ast.unparse(counts)}) if ast.unparse(new.left) == site.text else None


def _is_view(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("T", "shape", "size")


def _of_transpose(site: Site, new: ast.expr, evidence: Evidence, key: str) -> Meaning:
    """A weight is a matrix that is an input; what else is not transposed has its own name."""
    node = site.node
    plain = node.value if isinstance(node, ast.Attribute) and node.attr == "T" else node
    if not isinstance(plain, ATOMS) or not is_operand(site):
        return "transposed", {}
    value = site.facts.value(plain)
    if not any(_equal(value, weight) for weight in evidence.inputs.values()):
        return "untransposed", {"which": ast.unparse(node), "wanted": ast.unparse(new)}
    square = np.ndim(value) == 2 and value.shape[0] == value.shape[1]
    return (key if square else "W for Wᵀ"), {}


# --- Functions and terms ----------------------------------------------------------------------------------------------


def _holds(key: str, values: list[Any], evidence: Evidence, activations: Activations) -> bool:
    """Whether what is named is there: a tanh, a σ, a target, the output gradient."""
    if key in ("tanh", "sigmoid") and activations.known:
        return activations.uses(key, values)
    if key == "no relu" and activations.known:
        return activations.uses("relu", values)
    if key == "target" and any(map(_is_distribution, values)):  # of an input: one-hot, or smoothed
        return True
    if key in ("target", "regularisation"):
        return any(_equal(value, each) for value in values for each in evidence.inputs.values())
    if key == "softmax":
        return any(_is_distribution(value) for value in values)
    if key == "upstream ignored":
        return any(_equal(value, each) for value in values for each in leaves(evidence.dy))
    return True


def _values(site: Site, new: ast.expr, added: bool = False) -> Iterator[Any]:
    """Of the variables in an expression; ``added``: of those alone that are not in the one that it replaces."""
    there = {ast.unparse(each) for each in ast.walk(site.node) if isinstance(each, ATOMS)} if added else set()
    for node in ast.walk(new):
        if isinstance(node, ATOMS) and ast.unparse(node) not in there:
            held = site.facts.values.get(node)
            if held:
                yield from held
            elif (text := ast.unparse(node)) in site.scope:
                yield site.scope[text]


def _is_distribution(value: Any) -> bool:
    """Positive numbers that sum to one along an axis, as what a softmax makes."""
    x = np.asarray(value)
    if x.dtype.kind != "f" or not x.ndim or not x.size or not (x >= 0).all():
        return False
    return any(x.shape[axis] > 1 and np.allclose(x.sum(axis), 1) for axis in range(x.ndim))


def _equal(value: Any, other: Any) -> bool:
    if not isinstance(value, np.ndarray | np.number | float | int) or isinstance(other, str | dict | list | None):
        return False
    return np.shape(value) == np.shape(other) and bool(np.array_equal(value, other))
