"""Sums that a gradient is made of: over the uses of an input, and over the places of the output."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.naming.factors import factor_cause
from scratchlv.gradcheck.naming.findings import Finding
from scratchlv.gradcheck.naming.loops import Loops
from scratchlv.gradcheck.naming.simulation import FAILURES, STEP, Simulation
from scratchlv.gradcheck.naming.suspects import another_count, missing_reduction
from scratchlv.gradcheck.naming.tracing import Call, Change
from scratchlv.gradcheck.naming.wording import where
from scratchlv.gradcheck.trees import dot

MOST_USES = 24
MOST_PLACES = 12


def uses_of(simulation: Simulation, loops: Loops, name: str) -> Finding | None:
    """Whether the gradient of an input is the sum of the gradients by its uses, each of them times some number."""
    uses = simulation.uses(name)
    if not 2 <= len(uses) <= MOST_USES or not np.isfinite(simulation.got[name]).all():
        return None
    weights = _weights(simulation, name, uses)
    if weights is None:
        return None
    found = _of_rounds(simulation, loops, name, uses, weights) or _of_places(simulation, name, uses, weights)
    return None if found is None else Finding((name,), *found)


def _near(weights: np.ndarray, value: float) -> np.ndarray:
    return np.abs(weights - value) < 1e-4


def _patterns(weights: np.ndarray) -> set[str]:
    """What the weights of the rounds of one place fit; NaN where a round adds nothing."""
    n, found = len(weights), set()
    first, last = np.arange(n) == 0, np.arange(n) == n - 1
    shapes = {
        "right": np.ones(n),
        "first only": first * 1.0,
        "last only": last * 1.0,
        "without first": 1.0 - first,
        "without last": 1.0 - last,
        "first twice": 1.0 + first,
        "last twice": 1.0 + last,
    }
    for text, shape in shapes.items():
        known = ~np.isnan(weights)
        if _near(weights[known], 0 if not known.any() else shape[known]).all():
            found.add(text)
    return found


def _of_rounds(
    simulation: Simulation, loops: Loops, name: str, uses: list[tuple[int, int]], weights: np.ndarray
) -> tuple[str, str] | None:
    """The same rounds of every place, or of the places that are wrong, are all there is, or are not there."""
    groups: dict[Any, list[int]] = {}
    for k, (index, j) in enumerate(uses):
        call = simulation.calls[index]
        groups.setdefault((call.name, call.place, j), []).append(k)
    split = [part for group in groups.values() for part in _by_address(simulation, uses, group)]
    wrong = [group for group in split if "right" not in _patterns(weights[group])]
    if not wrong or min(len(group) for group in wrong) < 2:
        return None
    common = set.intersection(*(_patterns(weights[group]) for group in wrong))
    in_time = all(loops.in_time([uses[k][0] for k in group]) for group in wrong)
    n = len(wrong[0])
    ends = [
        which for which, at in (("first", 0), ("last", -1)) if any(~np.isnan(weights[group[at]]) for group in wrong)
    ]
    for which in ends:
        if f"{which} only" in common:
            words = f"{cause('= for += in time')} in d{name}" if in_time else cause("= for +=")
            if n == 2 and not in_time:
                words += f", or with {cause('dropped round', which='first' if which == 'last' else 'last')}"
            return f"holds the {which} of {n} {'steps' if in_time else 'rounds'} only", words
    for which in ends:
        if f"without {which}" in common:
            words = cause("dropped step") if in_time else cause("dropped round", which=which)
            return f"lacks what the {which} {'step' if in_time else 'round'} adds", words
        if f"{which} twice" in common:
            words = cause("step twice") if in_time else cause("doubled")
            return f"counts twice what the {which} {'step' if in_time else 'round'} adds", words
    return None


def _by_address(simulation: Simulation, uses: list[tuple[int, int]], group: list[int]) -> list[list[int]]:
    """The uses at one place, apart for each part of the input that is used again; together if each has a part of its own."""
    parts: dict[int, list[int]] = {}
    for k in group:
        index, j = uses[k]
        parts.setdefault(simulation.calls[index].sources[j].__array_interface__["data"][0], []).append(k)
    return [group] if max(map(len, parts.values())) < 2 else list(parts.values())


def _of_places(
    simulation: Simulation, name: str, uses: list[tuple[int, int]], weights: np.ndarray
) -> tuple[str, str] | None:
    """Some uses are there another number of times than the others."""
    known = ~np.isnan(weights)
    odd = np.flatnonzero(known & ~_near(weights, 1))
    if not odd.size or np.ptp(weights[odd]) > 1e-4 or not _near(weights[known], 1).any():
        return None
    parts = ", ".join(dict.fromkeys(where(simulation.calls[uses[k][0]]) for k in odd))
    c = float(weights[odd].mean())
    if abs(c) < 1e-4:
        call = simulation.calls[uses[odd[0]][0]]
        reduced = missing_reduction(call) if odd.size == 1 else ""
        return f"lacks the part by {parts}", reduced or cause("missing path", which=f": a use of {name}")
    words, named = factor_cause(c, simulation.evidence)
    counts = {another_count(simulation.calls[uses[k][0]], c) for k in odd}
    if len(counts) == 1 and (other := counts.pop()):
        words, named = other, True
    sign = abs(c + 1) < 1e-4
    what = f"has the wrong sign in the part by {parts}" if sign else f"holds {c:.4g} times the part by {parts}"
    return (what, words) if named else None


def _weights(simulation: Simulation, name: str, uses: list[tuple[int, int]]) -> np.ndarray | None:
    """How many times the gradient holds each use, NaN for one that adds nothing; None if it is no such sum."""
    rng = np.random.default_rng(2)
    shape = np.shape(simulation.evidence.inputs[name])
    rows, got = [], []
    by_call: dict[int, list[int]] = {}
    for index, j in uses:
        by_call.setdefault(index, []).append(j)
    for _ in range(min(len(uses) + 3, 2 * int(np.prod(shape)) + 1)):
        direction = rng.standard_normal(shape)
        row = []
        for only, j_only in uses:
            changes = {index: _held([j for j in js if (index, j) != (only, j_only)]) for index, js in by_call.items()}
            try:
                row.append(simulation.slope({name: direction}, changes))
            except FAILURES:
                return None
        rows += list(np.array(row).T)  # one for each output gradient
        got += list(simulation.along(name, [direction])[0])
        if simulation.late:
            return None
    A, b = np.array(rows), np.array(got)
    adds = np.abs(A).max(0) > 1e-7 * np.abs(A).max()
    weights = np.full(len(uses), np.nan)
    found = solved(A[:, adds], b) if adds.any() else None
    if found is None:
        return None
    weights[adds] = found
    return weights


def solved(A: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """The one exact solution of more equations than unknowns; None if there is none, or more than one."""
    weights, _, rank, singular = np.linalg.lstsq(A, b, rcond=1e-9)
    scale = np.abs(A).max(initial=0) + np.abs(b).max(initial=0)
    unique = rank == A.shape[1] < len(A) and singular[-1] > 1e-6 * singular[0]
    return weights if unique and np.abs(A @ weights - b).max() <= 1e-6 * scale else None


def _held(js: list[int]) -> Change:
    """Some operands do not move."""

    def change(call: Call, operands: list[Any], output: Any) -> Any:
        return call.again([call.operands[j] if j in js else x for j, x in enumerate(operands)]) if js else output

    return change


# --- The places of the output ---------------------------------------------------------------------------------------


def upstream(simulation: Simulation, loops: Loops) -> Finding | None:
    """Whether all gradients are right for another output gradient: one that lacks steps, say, or is shifted."""
    y = simulation.tracer.y
    if not isinstance(y, np.ndarray) or y.ndim < 1:
        return None
    for axis in range(y.ndim):
        length = y.shape[axis]
        if not 2 <= length <= MOST_PLACES:
            continue
        for pairs in ([(k, k) for k in range(length)], _shift(length, 1), _shift(length, -1)):
            weights = _place_weights(simulation, axis, pairs)
            found = None if weights is None else _of_output(axis == loops.output_axis, pairs, weights)
            if found is not None:
                return Finding(tuple(simulation.wrong), *found)
    return None


def _shift(length: int, by: int) -> list[tuple[int, int]]:
    return [(k, (k + by) % length) for k in range(length)]


def _of_output(time: bool, pairs: list[tuple[int, int]], weights: np.ndarray) -> tuple[str, str] | None:
    ones, zeros = _near(weights, 1), _near(weights, 0)
    n = len(weights)
    if pairs[0] != (0, 0):
        shift = "before" if pairs[1][1] == 0 else "after"
        if ones.sum() >= n - 1 and time:
            return f"is right for the output gradient of the step {shift}", cause("off by one")
        return None
    if ones.all() or not (ones | zeros | _near(weights, 2)).all():
        return None
    if time and ones.sum() == n - 1 and not (ones[0] and ones[-1]):
        step = "first" if not ones[0] else "last"
        kind = "dropped step" if zeros.any() else "step twice"
        verb = "lacks" if zeros.any() else "counts twice"
        return f"{verb} the output gradient of the {step} step", cause(kind)
    if time and ones.sum() == 1 and zeros.sum() == n - 1:
        which = ": only one step's output gradient goes in"
        return f"holds the output gradient of one of {n} steps only", cause("missing path", which=which)
    return None


def _place_weights(simulation: Simulation, axis: int, pairs: list[tuple[int, int]]) -> np.ndarray | None:
    """How many times the gradients hold each pair: what place k of the output is moved by, times dy at place l."""
    rng = np.random.default_rng(4)
    rows, got = [], []
    for _ in range(len(pairs) + 3):
        v = {name: rng.standard_normal(np.shape(simulation.evidence.inputs[name])) for name in simulation.names}
        try:
            ahead, behind = (
                simulation.tracer.output({name: sign * STEP * x for name, x in v.items()}) for sign in (1, -1)
            )
        except FAILURES:
            return None
        moved = (ahead - behind) / (2 * STEP)
        for dy in simulation.dys:
            rows.append([dot(np.take(dy, place, axis), np.take(moved, k, axis)) for k, place in pairs])
        got += list(sum(simulation.along(name, [v[name]])[0] for name in simulation.names))
        if simulation.late:
            return None
    return solved(np.array(rows), np.array(got))
