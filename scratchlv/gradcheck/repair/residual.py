"""What a wrong gradient lacks, found among the variables of backward and their products."""

from __future__ import annotations

import ast
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.repair.apart import Emit, Overdue, Stopwatch, apart, at_most
from scratchlv.gradcheck.repair.facts import Facts, observe
from scratchlv.gradcheck.repair.source import called, functions, unwrapped

EXACT = 1e-6  # of the largest element of what is missing
NUMBERS = 4  # that must fit, and must not be multiples of one another's places by chance
VARIABLES, LARGE = 50, 5000  # variables, and elements of one
Series = list[np.ndarray]  # the values of a variable, by visit


def missing_terms(evidence: Evidence, backward: Callable, seconds: float = 2.0) -> list[str]:
    """Sentences on gradients that are another's, and on what the others lack; none if nothing fits to 1e-6 of its size.

    backward runs once, in a process of its own, as :attr:`Evidence.backward` does it; ``seconds`` is the limit for that and
    for the search.
    """
    sentences = [*_exchanged(evidence)]
    lacking = {name: lack for name, lack in _lacking(evidence) if f"d{name} " not in " ".join(sentences)}
    if not lacking or evidence.backward is None:
        return sentences

    def work(emit: Emit) -> None:
        warnings.simplefilter("ignore")
        variables = _variables(evidence, backward, seconds)
        for name, lack in lacking.items():
            if found := _explained(lack, variables, seconds / len(lacking)):
                emit(_sentence(name, *found))

    return sentences + apart(work, seconds)[0]


def _exchanged(evidence: Evidence) -> Iterator[str]:
    """Gradients that are what another one should be."""
    is_of: dict[str, str] = {}
    for name in evidence.wrong:
        for other, numeric in evidence.numeric.items():
            analytic = evidence.analytic.get(name)
            if other != name and analytic is not None and analytic.shape == numeric.shape and _same(analytic, numeric):
                is_of.setdefault(name, other)
    for name, other in is_of.items():
        if is_of.get(other) == name:
            if name < other:
                each = f"d{name} is what d{other} should be, and d{other} is what d{name} should be"
                yield f"{each}: consistent with {cause('order')}"
        else:
            named = cause("another's gradient", other=f"d{other}")
            yield f"d{name} is what d{other} should be: consistent with {named}"


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    known = np.isfinite(b)
    scale = np.abs(b[known]).max(initial=0)
    return bool(known.sum() >= NUMBERS and scale > 0 and np.abs(a - b)[known].max() <= EXACT * scale)


def _lacking(evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    for name in evidence.wrong:
        if name in evidence.analytic and name in evidence.numeric:
            lack = evidence.numeric[name] - evidence.analytic[name]
            if _tells(lack) and not _same(-lack, evidence.analytic[name]):  # else what is right is lost beside it
                yield name, lack


def _tells(lack: np.ndarray) -> bool:
    """There are enough different numbers in it that nothing fits by chance."""
    known = lack[np.isfinite(lack)]
    scale = np.abs(known).max(initial=0)
    return bool(scale > 0 and len(np.unique(np.round(known / scale, 4)[np.abs(known) > 1e-3 * scale])) >= NUMBERS)


# --- The variables of one run ------------------------------------------------------------------------------------------


def _variables(evidence: Evidence, backward: Callable, seconds: float) -> dict[str, Series]:
    """The values of each variable that backward, or what it calls, reads or sets; at each visit."""
    found: dict[str, Series] = {}

    def run() -> Any:
        assert evidence.backward is not None
        try:
            with at_most(seconds / 4):
                return evidence.backward(evidence.dy)
        except (Exception, Overdue):
            return None

    roots = unwrapped(backward)
    for function in functions(called(run, roots), roots):
        facts = observe(function, run)
        for text, values in (*_read(function.node, facts), *_in_scope(facts)):
            if len(found) < VARIABLES and text not in found:
                found[text] = values
    return found


def _read(node: ast.AST, facts: Facts) -> Iterator[tuple[str, Series]]:
    for each in ast.walk(node):
        text, held = "", each
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            text, held = each.targets[0].id, each.value
        elif isinstance(each, ast.Name | ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Load):
            text = ast.unparse(each)
        values = facts.values.get(held, []) if text else []
        if values and all(_is_small(value) for value in values):
            yield text, values


def _in_scope(facts: Facts) -> Iterator[tuple[str, Series]]:
    """What is there at the end, read or not."""
    for text, value in facts.scopes.get(facts.last, {}).items() if facts.last is not None else ():
        if _is_small(value):
            yield text, [value]


def _is_small(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size <= LARGE


# --- What explains it --------------------------------------------------------------------------------------------------


def _explained(lack: np.ndarray, variables: dict[str, Series], seconds: float) -> tuple[str, float] | None:
    """The first expression that is what lacks, but for a sign; and the sign."""
    watch, known = Stopwatch(), np.isfinite(lack)
    target = lack[known]
    scale = np.abs(target).max()
    with np.errstate(all="ignore"):
        for text, value in _sums(variables, lack.shape):
            if np.shape(value) != lack.shape:
                continue
            for sign in (1.0, -1.0):
                if np.abs(sign * value[known] - target).max() <= EXACT * scale:
                    return text, sign
            if watch.spent > seconds:
                return None
    return None


def _sums(variables: dict[str, Series], shape: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Variables, sums of them, and products of two, summed over the visits; each with its value."""
    for text, series in variables.items():
        if not series:
            continue
        yield text, series[-1]
        yield from _reduced(text, series, shape)
        if len(series) == shape[0]:
            yield f"{text} of each step", np.array(series) if _alike(series) else None
            yield f"{text} of each step", np.array(series[::-1]) if _alike(series) else None
    for (one, a), (two, b) in itertools.product(variables.items(), repeat=2):
        if len(a) != len(b) or not a or not b:
            continue
        if one < two:
            yield from _reduced(f"({one} * {two})", _by_visit(np.multiply, a, b), shape)
        if len(shape) == 2 and a[0].ndim == b[0].ndim == 2:
            over = " summed over the steps" if len(a) > 1 else ""
            for first, second in (("T", ""), ("", ""), ("", "T")):
                if (a[0].T if first else a[0]).shape[:1] + (b[0].T if second else b[0]).shape[1:] == shape:
                    text = f"{one}{'.T' * bool(first)} @ {two}{'.T' * bool(second)}{over}"
                    products = _by_visit(lambda x, y, f=first, s=second: (x.T if f else x) @ (y.T if s else y), a, b)
                    yield text, sum(products) if products else None


def _reduced(text: str, series: Series, shape: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Summed over the axes in front that the shape does not have, and over the visits."""
    if not series or not _alike(series) or series[0].ndim < len(shape):
        return
    axes = tuple(range(series[0].ndim - len(shape)))
    sums = f"{text}.sum({axes[0] if len(axes) == 1 else axes})" if axes else text
    over = " summed over the steps" if len(series) > 1 else ""
    yield sums + over, np.sum([value.sum(axes) for value in series], 0)


def _by_visit(operation: Callable, a: Series, b: Series) -> Series:
    try:
        return [operation(x, y) for x, y in zip(a, b, strict=True)]
    except ValueError:
        return []


def _alike(series: Series) -> bool:
    return len({value.shape for value in series}) == 1


def _sentence(name: str, text: str, sign: float) -> str:
    expression, _, rest = text.partition(" summed over")
    expression = f"`{expression}`" + (f" summed over{rest}" if rest else "")
    if sign > 0:
        return f"what is missing from d{name} is {expression}: consistent with {cause('missing path')}"
    return f"what d{name} has too much is {expression}: consistent with a term that does not belong there"
