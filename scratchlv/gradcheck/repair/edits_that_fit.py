"""Edits that are found by their values: what is in scope, and just what an expression lacks."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.repair.edits import Edit, Site, build, parsed
from scratchlv.gradcheck.repair.facts import is_number
from scratchlv.gradcheck.repair.guilt import Guilt
from scratchlv.gradcheck.repair.needed import mended_scopes
from scratchlv.gradcheck.repair.source import Function
from scratchlv.gradcheck.repair.synthesis import Fit, Wanted, fits

LOOKED_AT = 12  # expressions
TEMPLATES = {"+": "A + S", "-": "A - S", "*": "A * S", "/": "A / S", "= +": "S", "= -": "-S"}
WORDS = {"+": "with + {}", "-": "with - {}", "*": "with * {}", "/": "with / {}"}


def fitting_edits(
    function: Function, guilt: Guilt, run: Callable[[], Any], seconds: float, numpy: str
) -> Iterator[Edit]:
    """Of the expressions that need another value."""
    sites: list[Site] = []
    wanted: list[Wanted] = []
    for slot, held, statement, need in guilt.needs[:LOOKED_AT] if numpy else ():
        now, history = mended_scopes(function, slot, statement, need, run)
        if len(history) != len(need.values) or [value.shape for value in now] != need.shapes:
            continue
        scopes = [
            {text: value for text, value in scope.items() if np.ndim(value) or value not in (0, 1)} for scope in history
        ]
        wanted.append(Wanted(need, now, scopes, _factors(guilt.facts.scopes.get(statement, {}))))
        sites.append(Site(held, slot, statement, (), guilt.facts, function, ()))
    for number, fit in fits(wanted, seconds):
        cost = 1.8 + 0.02 * len(fit.text) + (0.8 if "/" in fit.sign + fit.text else 0)
        yield _edit(sites[number], fit, cost, numpy)


def _factors(scope: dict[str, Any]) -> dict[float, str]:
    """One, two, lengths and numbers in scope, and 1 and 2 by them."""
    found = {1.0: "1", 2.0: "2", 0.5: "0.5"}
    for text, value in scope.items():
        lengths = (
            [(f"{text}.shape[{axis}]", n) for axis, n in enumerate(value.shape)]
            if isinstance(value, np.ndarray)
            else []
        )
        for name, number in [(text, value)] if is_number(value) else lengths:
            if number not in (0, 1):
                for shown, factor in ((name, number), (f"1 / {name}", 1 / number), (f"2 / {name}", 2 / number)):
                    found.setdefault(abs(float(factor)), shown)
    return found


def _times_itself(fit: Fit, site: Site) -> float | None:
    """What ``dy + 2 * dy`` is dy times; None if something else is added."""
    number, _, text = fit.text.rpartition(" * ")
    if (text or fit.text) != site.text or not (number or "1").replace(".", "").isdigit():
        return None
    whole = 1 + float(number or 1) * (1 if fit.sign == "+" else -1)
    return int(whole) if whole == int(whole) else whole


def _key(fit: Fit, site: Site, node: ast.expr) -> str:
    """What is shown by one array alone; an expression of several may be an accident of algebra."""
    if fit.sign == "= +" and fit.text.endswith(f" * {site.text}") and fit.text[0].isdigit():
        return "factor"
    if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        return ""
    return {"+": "missing term", "-": "missing term", "*": "missing factor", "/": "missing factor"}.get(fit.sign, "")


def _edit(site: Site, fit: Fit, cost: float, numpy: str) -> Edit:
    if fit.sign in "+-" and (number := _times_itself(fit, site)) is not None:
        fit = Fit("= +", f"{number} * {site.text}")
    nodes = {"A": site.node, "S": parsed(fit.text.replace("np.", f"{numpy}."))}

    def make() -> ast.expr:
        return build(TEMPLATES[fit.sign], site.node, nodes)

    key = _key(fit, site, nodes["S"])
    how = WORDS.get(fit.sign, "").format(fit.text)
    edit = Edit(((site.slot, make),), site, site.statement, how, key, cost, f"{id(site.statement)} fit", site.function)
    edit.nodes = len(fit.text)
    return edit
