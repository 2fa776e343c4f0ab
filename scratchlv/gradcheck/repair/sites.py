"""All edits of a function, in the order in which they are worth trying."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from scratchlv.gradcheck.repair import edits_of_names as of_names
from scratchlv.gradcheck.repair import edits_of_places as places
from scratchlv.gradcheck.repair import edits_of_products as of_products
from scratchlv.gradcheck.repair import edits_of_terms as terms
from scratchlv.gradcheck.repair.edits import Draft, Edit, Site, Slot, edit_of
from scratchlv.gradcheck.repair.edits_of_counts import denominators
from scratchlv.gradcheck.repair.edits_of_occurrences import occurrence_edits
from scratchlv.gradcheck.repair.edits_of_rows import row_edits
from scratchlv.gradcheck.repair.edits_of_shapes import reshapes, running_sums
from scratchlv.gradcheck.repair.edits_of_statements import lines, statement_edits
from scratchlv.gradcheck.repair.edits_of_windows import window_edits
from scratchlv.gradcheck.repair.facts import Facts
from scratchlv.gradcheck.repair.source import Function

KINDS: tuple[Callable[[Site], Iterator[Draft]], ...] = (
    of_products.transposes,
    of_products.products,
    of_products.sums,
    terms.operators,
    terms.signs,
    terms.brackets_of_sums,
    terms.ones,
    terms.epsilons,
    terms.missing_terms,
    terms.missing_factors,
    of_names.names,
    of_names.arrays_for_numbers,
    of_names.stored_names,
    of_names.counts,
    denominators,
    of_names.local_derivatives,
    of_names.local_factors,
    of_names.softmaxes,
    places.indices,
    places.flips,
    places.parts_of_loops,
    places.constants,
    places.comparisons,
    places.calls,
    places.functions,
    places.orders,
    places.scaled,
    reshapes,
    running_sums,
    places.precisions,
)


LINE_KINDS = (statement_edits, row_edits, occurrence_edits, window_edits)


def wide_edits(function: Function, facts: Facts) -> Iterator[Edit]:
    """Those that change several values at once."""
    for line in lines(function, facts):
        for kind in LINE_KINDS:
            yield from (edit for edit in kind(line) if edit.wide)
    for site in sites(function, facts):
        if site.is_stored:
            yield from _drafted(site)


def narrow_edits(function: Function, facts: Facts, wanted: Callable[[ast.stmt], bool]) -> Iterator[Edit]:
    """The others, of the statements that are wanted."""
    for line in lines(function, facts):
        if wanted(line.statement):
            for kind in LINE_KINDS:
                yield from (edit for edit in kind(line) if not edit.wide)
    for site in sites(function, facts):
        if wanted(site.statement) and not site.is_stored:
            yield from _drafted(site)


def _drafted(site: Site) -> Iterator[Edit]:
    for each in KINDS:
        for draft in each(site):
            if site.facts.numpy or "np." not in draft.template:
                yield edit_of(site, draft, each.__name__)


def sites(function: Function, facts: Facts) -> Iterator[Site]:
    """Every expression of the function's body."""
    node = function.node
    if isinstance(node, ast.Lambda):
        held: ast.Lambda | ast.IfExp = node
        if any(name != "__class__" for name in function.code.co_freevars):
            assert isinstance(node.body, ast.IfExp)  # that mentions the free variables
            held = node.body
        whole = Site(held.body, (held, "body", None), function.statement, (), facts, function, (held,))
        yield whole
        yield from _below(whole.node, whole)
    else:
        for line in lines(function, facts):
            if isinstance(line.statement, ast.Assert | ast.Raise):
                continue
            nothing = Site(
                ast.Constant(None), (line.statement, "", None), line.statement, line.loops, facts, function, ()
            )
            yield from _below(line.statement, nothing)


def _below(node: ast.AST, around: Site) -> Iterator[Site]:
    parents = (*around.parents, node)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(value, ast.arguments):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.stmt):
                continue
            slot: Slot = (node, name, index)
            held = child if isinstance(child, ast.expr) else around.node
            site = Site(held, slot, around.statement, around.loops, around.facts, around.function, parents)
            if isinstance(child, ast.expr) and not isinstance(child, ast.Slice | ast.Starred):
                yield site
            yield from _below(child, site)
