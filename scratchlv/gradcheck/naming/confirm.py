"""Is a cause the same on other inputs? What these numbers or these sizes alone say may be a coincidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from scratchlv.gradcheck.causes import key_of
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.findings import Finding


def confirmed(
    found: list[Finding], evidence: Evidence, others: Iterable[Evidence], look: Callable[[Evidence], list[Finding]]
) -> list[Finding]:
    """The findings; one that other inputs tell otherwise keeps what is measured of it, and claims no cause."""
    for other in others:
        again = look(other) if other.wrong and any(finding.cause for finding in found) else []
        if again:  # else nothing is told there, as of a sequence of one step
            found = [
                each if any(_agree(each, evidence, theirs, other) for theirs in again) else replace(each, cause="")
                for each in found
            ]
    return found


def _agree(one: Finding, evidence: Evidence, other: Finding, elsewhere: Evidence) -> bool:
    """The same cause; and if both name a length, the same one."""
    if _key(one) != _key(other):
        return False
    mine, theirs = _lengths(one, evidence), _lengths(other, elsewhere)
    return not mine or not theirs or bool(mine & theirs)


def _key(finding: Finding) -> str:
    return key_of(f"consistent with {finding.cause}") or finding.cause


def _lengths(finding: Finding, evidence: Evidence) -> set[str]:
    """The axes that the cause speaks of, and those of the same length."""
    axes = {
        f"{name}.shape[{axis}]": length
        for name, value in evidence.inputs.items()
        for axis, length in enumerate(np.shape(value))
    }
    said = {axes[text] for text in re.findall(r"[\w.\[\]']+\.shape\[\d+\]", finding.cause) if text in axes}
    return {text for text, length in axes.items() if length in said}
