"""What a wrong gradient is consistent with.

Most bugs in a backward pass leave a signature: a gradient that is right but for a factor, or only in some places, or at
one time step. Others are found by simulation: the gradients are those of a forward that lacks a path, or whose tanh has
another derivative. :func:`diagnose` looks for both. It says "consistent with": what is measured is certain, the cause is
inferred.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence, Rerun
from scratchlv.gradcheck.naming.confirm import confirmed
from scratchlv.gradcheck.naming.derivatives import elementwise, softmaxes
from scratchlv.gradcheck.naming.findings import CLOSE, Finding, equal, explained_by, merged
from scratchlv.gradcheck.naming.localise import localised, target_missing
from scratchlv.gradcheck.naming.loops import Loops, constants, divisors
from scratchlv.gradcheck.naming.origins import Origins
from scratchlv.gradcheck.naming.places import places
from scratchlv.gradcheck.naming.probes import probes
from scratchlv.gradcheck.naming.products import gated, products
from scratchlv.gradcheck.naming.signatures import signatures
from scratchlv.gradcheck.naming.simulation import Simulation
from scratchlv.gradcheck.naming.sums import sums
from scratchlv.gradcheck.naming.suspects import Suspect, missing, scaled_paths, shared, states, steps
from scratchlv.gradcheck.naming.uses import upstream, uses_of

SECONDS = 8.0
MOST_SENTENCES = 3
ONE_WAY = "on the way to"  # some of the inputs: as if forward had two copies of an operation, one of them changed
ZERO = "is zero everywhere"
SLIGHT = f"is off by less than {CLOSE:.0e} of its largest element"
UNKNOWN = "no known signature: look at the local derivatives one by one"


def diagnose(
    evidence: Evidence,
    *,
    rerun: Rerun | None = None,
    remake: Callable[..., dict[str, Any]] | None = None,
    sizes: dict[str, int] | None = None,
    others: Iterable[Evidence] = (),
) -> list[str]:
    """Sentences on what the wrong gradients are consistent with; the most telling first, none if nothing is wrong.

    Args:
        evidence: of the check that failed.
        rerun: checks other inputs; None if they cannot be served.
        remake: ``remake(N=1, T=1)`` makes inputs of these sizes.
        sizes: what the dimensions are called, to name a factor; the axes of the inputs if not given.
        others: the same of other numbers and shapes: a cause that is not found there is not claimed.
    """
    if not evidence.wrong:
        return []
    with np.errstate(all="ignore"):
        deadline = time.process_time() + SECONDS
        sizes = sizes if isinstance(sizes, dict) else None
        found = _findings(evidence, rerun, remake, sizes, deadline)[:MOST_SENTENCES]
        deadline = min(deadline, time.process_time() + SECONDS / 2)
        found = confirmed(found, evidence, others, lambda other: _in_time(other, deadline))
        if evidence.forward is not None:
            evidence.forward(evidence.inputs)  # an object that remembers its last run remembers this one again
    sentences = [finding.sentence(evidence) for finding in found]
    return sentences or [UNKNOWN]


KINDS = (states, missing, shared, places, sums, elementwise, softmaxes, products, scaled_paths, steps)


OF_A_HELPER = (missing, elementwise, softmaxes)


def _in_time(evidence: Evidence, deadline: float) -> list[Finding]:
    """The findings of other inputs, if there is time to look for all."""
    if time.process_time() > deadline:
        return []
    found = _findings(evidence, None, None, None, deadline)
    return found if time.process_time() < deadline else []


def _findings(
    evidence: Evidence,
    rerun: Rerun | None,
    remake: Callable[..., dict[str, Any]] | None,
    sizes: dict[str, int] | None,
    deadline: float,
) -> list[Finding]:
    simulation = _simulation(evidence, deadline)
    loops = None if simulation is None else Loops(simulation)
    if simulation is None or loops is None:
        seen = signatures(evidence, sizes)
    else:
        seen = signatures(evidence, sizes, loops.time_axes, divisors(simulation), constants(simulation))
    if simulation is not None and not gated(simulation):
        seen = [
            replace(finding, cause=cause("blocks")) if finding.cause == cause("gates") else finding for finding in seen
        ]
        seen = [replace(finding, what=_without_gates(finding.what)) for finding in seen]
    wrong = set(evidence.wrong)
    slight = {name for name in wrong if equal(evidence.analytic[name], evidence.numeric[name])}
    seen = [finding for finding in seen if not slight & set(finding.names)]  # no signature can be told in so little
    certain = [finding for finding in seen if finding.certain]
    if explained_by(certain) == wrong and len(certain) == 1:
        return certain
    if simulation is None and rerun is not None:
        return certain or probes(evidence, rerun, remake) or seen
    simulated = _simulated_safely(simulation, loops)
    if loops is not None:
        seen = [_of_initial_state(finding, loops) for finding in seen]
    simulated = [_or_simpler(finding, seen) for finding in simulated]
    if simulated and explained_by(simulated) == wrong and len(simulated) < max(len(certain), 2):
        return simulated
    for found in (certain, seen):
        if explained_by(found) == wrong:
            return found
    rest = [finding for finding in seen if set(finding.names) - explained_by(simulated)]
    found = merged([*simulated, *rest])
    if not found and slight == wrong:
        return [Finding(tuple(evidence.wrong), SLIGHT, f"{cause('epsilon')}, or a number with few digits")]
    if explained_by(found) == wrong:
        return found
    return [finding for finding in found if finding.what != ZERO and (finding.certain or finding in seen)]


def _without_gates(what: str) -> str:
    """Blocks that are no gates have no letters."""
    return "has blocks that are exchanged" if what.startswith(("has the blocks of gates", "has the gates in")) else what


def _of_initial_state(finding: Finding, loops: Loops) -> Finding:
    """The gradient of a loop's first state is what its first step hands back."""
    if finding.what == ZERO and set(finding.names) <= loops.initial:
        return replace(finding, cause=f"{cause('dh_next')}: what the first step hands back is this gradient")
    return finding


def _or_simpler(finding: Finding, seen: list[Finding]) -> Finding:
    """A path that is missing is all there is, or a regularisation, if the error is the weight itself times a number."""
    for other in seen:
        if other.what == ZERO and other.names == finding.names and not finding.cause.startswith(cause("= for +=")):
            return other
        small = other.cause == cause("regularisation") and "-1 times" not in other.what and " 1 times" not in other.what
        if small and set(other.names) == set(finding.names):
            return other
    return finding


def _simulation(evidence: Evidence, deadline: float) -> Simulation | None:
    if evidence.forward is None:
        return None
    try:
        simulation = Simulation(evidence, deadline)
    except Exception:  # forward does something that cannot be watched
        return None
    return simulation if simulation.trusted else None


def _simulated_safely(simulation: Simulation | None, loops: Loops | None) -> list[Finding]:
    if simulation is None or loops is None:
        return []
    try:
        return _simulated(simulation, loops)
    except Exception:  # an operation that nobody has thought of: its report says less, but there is one
        return []


def _simulated(simulation: Simulation, loops: Loops) -> list[Finding]:
    """One change that explains everything; else what explains most."""
    wrong = simulation.wrong
    uses = merged(found for name in wrong if (found := uses_of(simulation, loops, name)) is not None)
    if explained_by(uses) == set(wrong) and len(uses) == 1:
        return uses
    elsewhere = upstream(simulation, loops)
    if elsewhere is not None:
        return [elsewhere]
    origins = Origins(simulation)
    target = target_missing(simulation, origins)
    if target is not None:
        return [target]
    tried = []
    for kind in KINDS:
        for suspect in kind(simulation, loops):
            if simulation.late:
                break
            if origins.possible(suspect.changes) and simulation.explains_all(suspect.changes):
                return [Finding(tuple(wrong), f"is what it would be {suspect.what}", suspect.cause)]
            tried.append(suspect)
    helper = _of_a_helper(simulation, loops)
    if helper is not None:
        return [helper]
    parts = uses if explained_by(uses) == set(wrong) else _parts(simulation, uses, tried)
    if not parts:
        place = localised(simulation, loops, origins)
        return [place] if place is not None else []
    return parts


def _of_a_helper(simulation: Simulation, loops: Loops) -> Finding | None:
    """One change of a function that forward calls at several places."""
    with simulation.by_helper() as several:
        for kind in OF_A_HELPER if several else ():
            for suspect in kind(simulation, loops):
                if simulation.late:
                    return None
                if len(suspect.changes) > 1 and simulation.explains_all(suspect.changes):
                    return Finding(tuple(simulation.wrong), f"is what it would be {suspect.what}", suspect.cause)
    return None


def _parts(simulation: Simulation, uses: list[Finding], tried: list[Suspect]) -> list[Finding]:
    """What explains some of the gradients; most of them first. It counts if all are explained: of some it may be an accident."""
    found = []
    for suspect in tried:
        if simulation.late:
            break
        ordered, strict = simulation.explained(suspect.changes)
        if ordered:
            alone = "" if strict else f", {ONE_WAY} {', '.join(ordered)} only"
            words = suspect.cause if strict else f"{suspect.cause}, or with something else on that way alone"
            found.append((strict, Finding(ordered, f"is what it would be {suspect.what}{alone}", words, certain=False)))
            if strict and len(ordered) >= max(len(simulation.wrong) - 1, 1):
                break
    parts = list(uses)
    for _, finding in sorted(found, key=lambda pair: (-len(pair[1].names), not pair[0])):
        if set(finding.names) - explained_by(parts):
            parts.append(finding)
    return parts
