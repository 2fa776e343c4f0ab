"""What has been found about a bug: which gradients, what is measured, and the cause that it is consistent with."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from scratchlv.gradcheck.evidence import Evidence

_PLURALS = {"is": "are", "has": "have", "lacks": "lack", "does": "do", "stays": "stay", "differs": "differ"}
CLOSE = 1e-4  # of a gradient's largest element: far above the error of a slope, far below that of a bug


@dataclass(frozen=True)
class Finding:
    """One reason to believe in one cause."""

    names: tuple[str, ...]  # the inputs whose gradients it explains
    what: str  # is measured: "is {what}", "has …"; follows the names of the gradients
    cause: str  # "" if none is claimed
    certain: bool = True  # it says all there is to say, and no other cause fits

    def sentence(self, evidence: Evidence) -> str:
        """Such as "dW is transposed: consistent with …"."""
        because = f": consistent with {self.cause}" if self.cause else ""
        if len(self.names) == len(evidence.analytic) > 1:
            return f"every gradient {self.what}{because}"
        subject = ", ".join(f"d{name}" for name in self.names)
        what = self.what if len(self.names) == 1 else _plural(self.what)
        return f"{subject} {what}{because}"


def _plural(what: str) -> str:
    verb, _, rest = what.partition(" ")
    return f"{_PLURALS.get(verb, verb)} {rest}"


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that say the same of several gradients as one."""
    together: dict[tuple[str, str, bool], list[str]] = {}
    for finding in findings:
        names = together.setdefault((finding.what, finding.cause, finding.certain), [])
        names += [name for name in finding.names if name not in names]
    return [Finding(tuple(names), what, cause, certain) for (what, cause, certain), names in together.items()]


def explained_by(findings: Collection[Finding]) -> set[str]:
    return {name for finding in findings for name in finding.names}


def equal(a: np.ndarray, b: np.ndarray, scale: float | None = None, close: float = CLOSE) -> bool:
    """Equal wherever both are known, in at least one place that is not zero."""
    known = np.isfinite(a) & np.isfinite(b)
    if not known.any():
        return False
    scale = float(np.abs(b[known]).max()) if scale is None else scale
    return bool(scale > 0 and (np.abs(a - b)[known] <= close * scale).all())


def wrong_places(a: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Where a is known to be wrong."""
    known = np.isfinite(n)
    scale = max(np.abs(n[known]).max(initial=0.0), np.abs(a[known]).max(initial=0.0))
    return known & ~(np.abs(a - np.where(known, n, 0)) <= 1e-5 * scale)
