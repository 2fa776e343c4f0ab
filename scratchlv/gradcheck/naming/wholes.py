"""Signatures of all gradients at once: what backward makes of other output gradients, whose gradients they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.factors import of_itself
from scratchlv.gradcheck.naming.findings import Finding, equal, merged
from scratchlv.gradcheck.trees import map_leaves


def wholes(evidence: Evidence) -> list[Finding]:
    for signature in (_ignores_upstream, _float32, _of_its_own_sign, _order, _aliased):
        found = signature(evidence)
        if found is not None:
            return [found]
    return _not_linear(evidence)


def _backward(evidence: Evidence, factor: float) -> dict[str, np.ndarray] | None:
    """The gradients for ``factor`` times the output gradient; None if they cannot be had."""
    if evidence.backward is None:
        return None
    try:
        found = evidence.backward(map_leaves(lambda leaf: leaf * factor, evidence.dy))
    except Exception:  # the operation under test may not serve this
        return None
    grads = {name: np.asarray(value) for name, value in found.items() if name in evidence.analytic}
    return {name: value for name, value in grads.items() if value.shape == evidence.analytic[name].shape}


def _ignores_upstream(evidence: Evidence) -> Finding | None:
    doubled = _backward(evidence, 2.0)
    names = [name for name in evidence.wrong if doubled and name in doubled and np.any(evidence.analytic[name])]
    if names and doubled and all(equal(doubled[name], evidence.analytic[name]) for name in names):
        return Finding(tuple(names), "stays as it is if the output gradient is doubled", cause("upstream ignored"))
    return None


def _of_its_own_sign(evidence: Evidence) -> Finding | None:
    """Backward is linear for positive factors only: it masks a gradient by the gradient's sign."""
    opposite, doubled, zero = (_backward(evidence, factor) for factor in (-1.0, 2.0, 0.0))
    if not opposite or not doubled or not zero:
        return None
    names = []
    for name in evidence.wrong:
        a = evidence.analytic[name]
        if not all(name in found for found in (opposite, doubled, zero)) or np.any(zero[name]):
            return None
        if not equal(doubled[name], 2 * a):
            return None
        if not equal(-opposite[name], a):
            names.append(name)
    if not names:
        return None
    what = "is not the opposite for the opposite output gradient"
    return Finding(tuple(evidence.wrong), what, cause("own sign"))


def _not_linear(evidence: Evidence) -> list[Finding]:
    """What backward adds even if the output gradient is zero."""
    zero, found = _backward(evidence, 0.0), []
    for name in evidence.wrong:
        rest = None if zero is None else zero.get(name)
        if (
            rest is None
            or not np.isfinite(rest).all()
            or not equal(evidence.analytic[name] - rest, evidence.numeric[name])
        ):
            continue
        x = np.asarray(evidence.inputs[name])
        c = float((rest * x).sum() / ((x * x).sum() or 1.0))
        itself = equal(rest, c * x)
        what = f"is off by {c:.4g} times {name}" if itself else "is not zero if the output gradient is"
        found.append(Finding((name,), what, of_itself(name, c) if itself else cause("regularisation")))
    return merged(found)


def _float32(evidence: Evidence) -> Finding | None:
    """Rounding errors, which are not linear in the output gradient."""
    errors = {}
    for name in evidence.wrong:
        a, n = evidence.analytic[name], evidence.numeric[name]
        known = np.isfinite(n)
        scale = np.abs(n[known]).max(initial=0.0)
        errors[name] = np.abs(a - n)[known].max(initial=0.0) / scale if scale else np.inf
    narrow = [name for name in evidence.wrong if evidence.analytic[name].dtype == np.float32]
    thirds = _backward(evidence, 3.0) or {}
    for name in evidence.wrong:
        a = evidence.analytic[name]
        if name in thirds and np.abs(thirds[name] / 3 - a).max(initial=0) > 1e-11 * np.abs(a).max(initial=0):
            narrow.append(name)
    if all(error < 1e-4 and name in narrow for name, error in errors.items()):
        worst = max(errors.values())
        return Finding(tuple(evidence.wrong), f"has rounding errors of {worst:.0e}", cause("float32", where="backward"))
    return None


def _order(evidence: Evidence) -> Finding | None:
    """The gradients are those of other inputs."""
    places = {}
    for name in evidence.wrong:
        for other, n in evidence.numeric.items():
            if other != name and n.shape == evidence.analytic[name].shape and equal(evidence.analytic[name], n):
                places[name] = other
    if len(places) > 1 and set(places.values()) == set(places):
        what = "; ".join(f"the gradient of {other}" for other in places.values())
        return Finding(tuple(places), f"have each other's values ({what})", cause("order"))
    return None


def _aliased(evidence: Evidence) -> Finding | None:
    """A list in the cache that holds the same array again and again."""

    def lists(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            for item in value.values():
                yield from lists(item)
        elif isinstance(value, list | tuple):
            if isinstance(value, list):
                yield value
            for item in value:
                yield from lists(item)
        elif hasattr(value, "__dict__") and not callable(value) and not isinstance(value, np.ndarray):
            yield from lists(vars(value))

    for found in lists(evidence.cache):
        arrays = [item for item in found if isinstance(item, np.ndarray) and item.size]
        if len(arrays) > 2 and len({item.__array_interface__["data"][0] for item in arrays}) == 1:
            what = f"is wrong, and {len(arrays)} entries of the cache are one and the same array"
            return Finding(tuple(evidence.wrong), what, cause("aliased"))
    return None
