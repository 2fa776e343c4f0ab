"""Sums that a gradient is made of: over the uses of an input, and over the places of the output."""

from __future__ import annotations

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.factors import factor_cause
from scratchlv.gradcheck.findings import Finding
from scratchlv.gradcheck.loops import Loops, where
from scratchlv.gradcheck.simulation import FAILURES, STEP, Simulation
from scratchlv.gradcheck.suspects import missing_reduction
from scratchlv.gradcheck.tracing import Call, Change
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
    found = _of_one_place(simulation, loops, name, uses, weights) or _of_places(simulation, name, uses, weights)
    return None if found is None else Finding((name,), *found)


def _near(weights: np.ndarray, value: float) -> np.ndarray:
    return np.isclose(weights, value, atol=1e-3)


def _of_one_place(
    simulation: Simulation, loops: Loops, name: str, uses: list[tuple[int, int]], weights: np.ndarray
) -> tuple[str, str] | None:
    """All uses are the rounds of one loop, or some are, and the others are right."""
    odd = np.flatnonzero(~_near(weights, 1))
    places = {(simulation.calls[uses[k][0]].name, simulation.calls[uses[k][0]].place) for k in odd}
    if len(places) != 1:
        return None
    calls = simulation.rounds[next(iter(places))]
    own = [k for k, (index, _) in enumerate(uses) if index in calls]
    if len(own) < 2 or len(own) != len(calls):
        return None
    weights = weights[own]
    ones, zeros, twos = (_near(weights, value) for value in (1, 0, 2))
    in_time = loops.in_time(calls)
    n = len(own)
    if ones.sum() == 1 and zeros.sum() == n - 1 and (n > 2 or in_time or True):
        if in_time and ones[[0, -1]].any():
            return f"holds one of {n} steps only", f"{cause('= for += in time')} in d{name}"
        return f"holds one of the {n} uses in {where(simulation.calls[calls[0]])} only", cause("= for +=")
    if ones.sum() == n - 1 and in_time and (zeros | twos)[[0, -1]].any():
        step = "first" if not ones[0] else "last"
        if zeros.any():
            return f"lacks what the {step} step adds", cause("dropped step")
        return f"counts twice what the {step} step adds", cause("step twice")
    return None


def _of_places(
    simulation: Simulation, name: str, uses: list[tuple[int, int]], weights: np.ndarray
) -> tuple[str, str] | None:
    ones, odd = _near(weights, 1), np.flatnonzero(~_near(weights, 1))
    if not odd.size or np.ptp(weights[odd]) > 1e-3:
        return None
    parts = ", ".join(dict.fromkeys(where(simulation.calls[uses[k][0]]) for k in odd))
    c = float(weights[odd].mean())
    if abs(c) < 1e-3:
        call = simulation.calls[uses[odd[0]][0]]
        reduced = missing_reduction(call) if odd.size == 1 else ""
        return f"lacks the part by {parts}", reduced or cause("missing path", which=f": a use of {name}")
    if not ones.any():
        return None
    words, named = factor_cause(c, simulation.evidence)
    sign = abs(c + 1) < 1e-3
    what = f"has the wrong sign in the part by {parts}" if sign else f"holds the part by {parts} {c:.4g} times"
    return (what, words) if named else None


def _weights(simulation: Simulation, name: str, uses: list[tuple[int, int]]) -> np.ndarray | None:
    """How many times the gradient holds each use; None if it is no such sum."""
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
    return solved(np.array(rows), np.array(got))


def solved(A: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """The one exact solution of more equations than unknowns; None if there is none, or more than one."""
    weights, _, rank, singular = np.linalg.lstsq(A, b, rcond=1e-9)
    scale = np.abs(A).max(initial=0) + np.abs(b).max(initial=0)
    unique = rank == A.shape[1] < len(A) and singular[-1] > 1e-6 * singular[0]
    return weights if unique and np.abs(A @ weights - b).max() <= 1e-6 * scale else None


def _held(js: list[int]) -> Change:
    """Some operands do not move."""

    def change(call: Call, operands: list[object], output: object) -> object:
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
