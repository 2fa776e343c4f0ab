"""Suspects: the changes of forward that common bugs in backward amount to, each with its cause.

Here are paths that are missing or scaled, and states that a loop does not hand on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.naming.factors import factor_cause
from scratchlv.gradcheck.naming.loops import Loops, constant_of
from scratchlv.gradcheck.naming.simulation import FAILURES, Simulation, fingerprint, scaled, scaled_output
from scratchlv.gradcheck.naming.tracing import Call, Change, is_float
from scratchlv.gradcheck.naming.wording import operand, operand_text, variable, where

Changes = dict[int, Change]
STATES = re.compile(r"(h|hs|hidden|state|c|cs|cell)(_?(t|new|next|prev|\d+))*", re.IGNORECASE)  # of a recurrent network


@dataclass(frozen=True)
class Suspect:
    """A bug in backward, as a change of forward."""

    changes: Changes
    what: str  # "without the path …"
    cause: str


def float_operands(call: Call) -> list[int]:
    return [j for j, x in enumerate(call.operands) if is_float(x)]


def states(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    """What a loop hands on is dropped, or has the wrong sign."""
    by_maker: dict[int, list[tuple[list[int], int]]] = {}
    for carried in loops.carried:
        by_maker.setdefault(carried.makers[0], []).append((carried.calls, carried.j))
    for maker, edges in by_maker.items():
        name, words = carried_name(simulation, loops, maker)
        for start in (1, 0):  # with and without the initial state
            changes = {index: scaled(j, 0) for calls, j in edges for index in calls[start:]}
            if _all_operands(edges):
                changes = {index: _several([j for calls, j in edges if index in calls], 0) for index in changes}
            yield Suspect(changes, f"without what goes through {name} from step to step", words)
        for calls, j in edges if len(edges) > 1 else ():
            for some in (calls[1:], calls):
                through = where(simulation.calls[calls[0]])
                path = cause("missing path", which=f" in the recurrent path, through {through}")
                yield Suspect(
                    {index: scaled(j, 0) for index in some}, f"without what goes through {name} into {through}", path
                )
    if len(by_maker) > 1:
        edges = [edge for found in by_maker.values() for edge in found]
        for start in (1, 0):
            indices = {index for calls, _ in edges for index in calls[start:]}
            changes = {index: _several([j for calls, j in edges if index in calls], 0) for index in indices}
            yield Suspect(changes, "without what goes from step to step", f"{cause('dh_next')}, and {cause('dc_next')}")


def carried_name(simulation: Simulation, loops: Loops, maker: int) -> tuple[str, str]:
    """What a loop hands on is called, and what it means if its gradient is dropped."""
    name = variable(simulation.calls[maker])
    if name and not STATES.fullmatch(name):
        return name, cause("carry", which=f": that of {name}")
    return ("c", cause("dc_next")) if maker in loops.cells else ("h", cause("dh_next"))


def _all_operands(edges: list[tuple[list[int], int]]) -> bool:
    """Whether a call takes the state as more than one operand."""
    firsts = [calls[0] for calls, _ in edges]
    return len(set(firsts)) < len(firsts)


def _several(js: list[int], c: float) -> Change:
    def change(call: Call, operands: list[Any], output: Any) -> Any:
        then = call.operands
        return call.again([then[j] + c * (x - then[j]) if j in js else x for j, x in enumerate(operands)])

    return change


def steps(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    """The first or the last round of a loop over time is dropped, or counted twice."""
    for calls in simulation.rounds.values():
        if len(calls) < 3 or not loops.in_time(calls):
            continue
        for which, index in (("first", calls[0]), ("last", calls[-1])):
            text = f"{where(simulation.calls[index])} at the {which} step"
            yield Suspect({index: scaled_output(0)}, f"without {text}", cause("dropped step"))
            yield Suspect({index: scaled_output(2)}, f"with {text} counted twice", cause("step twice"))


def missing(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    """One way through one operation is missing, or has the wrong sign."""
    for calls in reversed(list(simulation.rounds.values())):
        call = simulation.calls[calls[0]]
        for j in float_operands(call):
            for c in (0.0, -1.0):
                changes = {index: scaled(j, c) for index in calls}
                yield Suspect(changes, *named(simulation, calls[0], j, c))


def shared(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    """Of what every round of a loop takes, one round's gradient overwrites the others'; or one round's is left out."""
    for calls in simulation.rounds.values():
        for j in float_operands(simulation.calls[calls[0]]) if len(calls) > 1 else ():
            values = {fingerprint(simulation.calls[index].operands[j]) for index in calls}
            if len(values) > 1 or np.size(simulation.calls[calls[0]].operands[j]) < 2:
                continue
            what = operand(simulation.calls[calls[0]], j)
            words = cause("= for += in time") if loops.in_time(calls) else cause("= for +=")
            for which, kept in (("first", calls[0]), ("last", calls[-1])):
                changes = {index: scaled(j, 0) for index in calls if index != kept}
                yield Suspect(changes, f"with the {which} round only of {what}", words)
                left_out = cause("dropped step") if loops.in_time(calls) else cause("dropped round", which=which)
                yield Suspect({kept: scaled(j, 0)}, f"without the {which} round of {what}", left_out)


def scaled_paths(simulation: Simulation, loops: Loops) -> Iterator[Suspect]:
    """One way through one operation counts a number of times."""
    for calls in reversed(list(simulation.rounds.values())):
        call = simulation.calls[calls[0]]
        for j in float_operands(call):
            if len(calls) == 1:
                c = _solved_factor(simulation, calls[0], j)
                if c is not None and (
                    _several_numbers(simulation) or _factor_cause(simulation, calls[0], j, c) != cause("factor")
                ):
                    yield Suspect({calls[0]: scaled(j, c)}, *named(simulation, calls[0], j, c))
                continue
            for c in _factors(simulation, call, j):
                yield Suspect({index: scaled(j, c) for index in calls}, *named(simulation, calls[0], j, c))


def _several_numbers(simulation: Simulation) -> bool:
    """What is wrong is more than a single number, which is always something times what it should be."""
    return (
        sum(np.size(simulation.got[name]) and np.size(simulation.evidence.inputs[name]) for name in simulation.wrong)
        > 1
    )


def _factors(simulation: Simulation, call: Call, j: int) -> list[float]:
    """What a way may count in a loop: twice, half, and what a constant factor or a mean makes of it."""
    found = [2.0, 0.5]
    constant = constant_of(call, j)
    if constant is not None and abs(constant) != 1:
        found += [constant, 1 / constant]
    if call.name in ("mean", "var") and np.size(call.output):
        count = np.size(call.operands[0]) / np.size(call.output)
        found += [count, 1 / count]
    lengths = {
        length for name in simulation.names for length in np.shape(simulation.evidence.inputs[name]) if length > 2
    }
    return found + [1 / length for length in lengths]


def _solved_factor(simulation: Simulation, index: int, j: int) -> float | None:
    """How many times the way counts: the slope is a linear function of that."""
    name = simulation.wrong[0]
    direction = simulation.directions[name][0]
    try:
        without = simulation.slope({name: direction}, {index: scaled(j, 0)})[0]
    except FAILURES:
        return None
    true, got = simulation.true[name][0][0], simulation.got[name][0][0]
    if not math.isfinite(without) or abs(true - without) <= 1e-9 * (abs(true) + 1e-9):
        return None
    c = (got - without) / (true - without)
    c = next((float(k) for k in (0, -1, 2, 0.5) if abs(c - k) < 1e-3), float(c))
    return c if math.isfinite(c) and abs(c - 1) > 1e-6 and c not in (0.0, -1.0) else None


def named(simulation: Simulation, index: int, j: int, c: float) -> tuple[str, str]:
    """What is changed, and the cause."""
    call = simulation.calls[index]
    several = len(float_operands(call)) > 1
    what = operand(call, j) if several else where(call)
    if c == 0:
        return f"without the path through {what}", _missing(simulation, index, j)
    if c == -1:
        return f"with the sign flipped in {what}", cause("sign")
    return f"with {what} counted {c:.4g} times", _factor_cause(simulation, index, j, c)


def _missing(simulation: Simulation, index: int, j: int) -> str:
    call, maker = simulation.calls[index], simulation.maker(index, j)
    if maker is not None and any(_is_target(simulation, x) for x in simulation.calls[maker].operands):
        return cause("target")
    if any(_picks_by_label(simulation, simulation.calls[k]) for k in (index, maker) if k is not None):
        return cause("target")
    for reduced in (call, *([] if maker is None else [simulation.calls[maker]])):
        words = missing_reduction(reduced)
        if words:
            return words
    owner = simulation.owner(call.sources[j])
    made_by = simulation.calls[maker] if maker is not None else None
    through = owner or operand_text(call, j) or (variable(made_by) or made_by.name if made_by is not None else "")
    return cause("missing path", which=f", through {through}" if through else "")


def _is_target(simulation: Simulation, x: Any) -> bool:
    """Whether an operand is an input that is not moved, and no weight: labels."""
    if not isinstance(x, np.ndarray):  # the index of several parts, a setting
        return False
    for name, value in simulation.evidence.inputs.items():
        label = name not in simulation.names or name.lower() in ("y", "t", "target", "targets", "labels")
        if not label or not isinstance(value, np.ndarray) or value.size < 2 or value.dtype == bool or "mask" in name:
            continue
        if np.array_equal(np.asarray(x), value):
            return True
    return False


def _picks_by_label(simulation: Simulation, call: Call) -> bool:
    """Whether of each row one number is taken, by labels: (rows, labels) as the index."""
    if call.name != "getitem" or not isinstance(call.operands[1], tuple):
        return False
    return any(isinstance(part, np.ndarray) and _is_target(simulation, part) for part in call.operands[1])


def missing_reduction(call: Call) -> str:
    """The cause, if what is missing is the way through a mean or a sum."""
    x, result = np.asarray(call.operands[0]), np.asarray(call.output)
    if call.name not in ("mean", "sum") or x.ndim < 1 or result.size in (1, x.size):
        return ""
    if result.shape[-1:] == x.shape[-1:]:
        return cause("missing path", which=f": a {call.name} over the batch that is missing in backward")
    return cause("missing path", which=": a mean or sum over that axis that is missing")


def _factor_cause(simulation: Simulation, index: int, j: int, c: float) -> str:
    call = simulation.calls[index]
    words, known = factor_cause(c, simulation.evidence)
    constant = constant_of(call, j)
    if constant is not None and c > 0 and (abs(c * constant - 1) < 1e-3 or abs(c / constant - 1) < 1e-3):
        square = max(1 / constant**2, constant**2)
        if not math.sqrt(square).is_integer() and abs(square - round(square)) < 1e-6 * square:
            return cause("scale")
        if any(later.name == "exp" for later in simulation.calls[index:]) or not known:
            return cause("constant scale", number=f"{constant:.4g}", where=where(call))
    if not known and call.name in ("mean", "sum", "var"):
        count = np.size(call.operands[0]) / max(np.size(call.output), 1)
        if abs(c / count - 1) < 1e-3:
            return cause("mean missing", number=f"{count:.0f}")
    maker = simulation.maker(index, j)
    made = simulation.calls[maker] if maker is not None else None
    if not known and made is not None and made.name == "mean":
        count = np.size(made.operands[0]) / max(np.size(made.output), 1)
        if abs(c / count - 1) < 1e-3:
            return cause("mean missing", number=f"{count:.0f}")
    return another_count(call, c) or words


def another_count(call: Call, c: float) -> str:
    """The cause, if a mean counts so many times because backward divides by another whole number."""
    if call.name not in ("mean", "var", "std") or c <= 0:
        return ""
    count = np.size(call.operands[0]) / max(np.size(call.output), 1)
    divided = count / c
    if divided < 1.5 or abs(divided - round(divided)) > 1e-4 or abs(c - 1) < 1e-4:
        return ""
    return cause("another mean", one=f"{divided:.0f}", other=f"{count:.0f}")
