"""Edits of forward that leave its outputs as they are: another array that is kept for backward, or one that is kept earlier."""

from __future__ import annotations

from collections.abc import Iterator

from scratchlv.gradcheck.repair.edits import Edit, edit_of
from scratchlv.gradcheck.repair.edits_of_names import names
from scratchlv.gradcheck.repair.edits_of_places import indices
from scratchlv.gradcheck.repair.edits_of_statements import exchanged, lines
from scratchlv.gradcheck.repair.facts import Facts
from scratchlv.gradcheck.repair.sites import sites
from scratchlv.gradcheck.repair.source import Function


def kept_edits(function: Function, facts: Facts) -> Iterator[Edit]:
    for line in lines(function, facts):
        for edit in exchanged(line):
            edit.key = "kept late"
            yield edit
    for site in sites(function, facts):
        for kind in (names, indices):
            for draft in kind(site):
                if draft.template == "S" or kind is indices:
                    yield edit_of(site, draft, kind.__name__)
