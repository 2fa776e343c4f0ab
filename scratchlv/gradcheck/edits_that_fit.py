"""Edits that are found by their values: what is in scope, and just what an expression lacks."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.edits import Edit, Site, build, parsed
from scratchlv.gradcheck.guilt import Guilt
from scratchlv.gradcheck.needed import mended_scopes
from scratchlv.gradcheck.source import Function
from scratchlv.gradcheck.synthesis import Fit, fits

LOOKED_AT = 8  # expressions
TEMPLATES = {"+": "A + S", "-": "A - S", "*": "A * S", "/": "A / S", "=": "S", "= -": "-S"}
WORDS = {"+": "with + {}", "-": "with - {}", "*": "with * {}", "/": "with / {}"}


def fitting_edits(
    function: Function, guilt: Guilt, run: Callable[[], Any], seconds: float, numpy: str
) -> Iterator[Edit]:
    needs = guilt.needs[:LOOKED_AT] if numpy else []
    for slot, held, statement, need in needs:
        now, history = mended_scopes(function, slot, statement, need, run)
        if len(history) != len(need.values) or [value.shape for value in now] != need.shapes:
            continue
        scopes = [
            {text: value for text, value in scope.items() if np.ndim(value) or value not in (0, 1)} for scope in history
        ]
        for order, fit in enumerate(fits(need, now, scopes, seconds / len(needs))):
            site = Site(held, slot, statement, (), guilt.facts, function, ())
            yield _edit(
                site, fit, 1.8 + 0.02 * len(fit.text) + 0.1 * order + (0.8 if "/" in fit.sign + fit.text else 0), numpy
            )


def _edit(site: Site, fit: Fit, cost: float, numpy: str) -> Edit:
    nodes = {"A": site.node, "S": parsed(fit.text.replace("np.", f"{numpy}."))}

    def make() -> ast.expr:
        return build(TEMPLATES[fit.sign], site.node, nodes)

    key = "missing term" if fit.sign in "+-" else "local derivative" if fit.sign in "*/" else ""
    how = WORDS.get(fit.sign, "").format(fit.text)
    edit = Edit(((site.slot, make),), site, site.statement, how, key, cost, f"{id(site.statement)} fit", site.function)
    edit.nodes = len(fit.text)
    return edit
