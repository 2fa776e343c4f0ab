"""What a wrong gradient is consistent with.

Most bugs in a backward pass leave a signature: a gradient that is right but for a factor, or only in some places, or at
one time step. Others are found by simulation: the gradients are those of a forward that lacks a path, or whose tanh has
another derivative. :func:`diagnose` looks for both. It says "consistent with": what is measured is certain, the cause is
inferred.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchlv.gradcheck import derivatives, suspects
from scratchlv.gradcheck.evidence import Evidence, Rerun
from scratchlv.gradcheck.findings import Finding, explained_by, merged
from scratchlv.gradcheck.signatures import signatures
from scratchlv.gradcheck.simulation import Simulation
from scratchlv.gradcheck.timeline import time_axes

SECONDS = 5.0
MOST_SENTENCES = 3
UNKNOWN = "no known signature: look at the local derivatives one by one"


def diagnose(
    evidence: Evidence,
    *,
    rerun: Rerun | None = None,
    remake: Callable[..., dict[str, Any]] | None = None,
    sizes: dict[str, int] | None = None,
) -> list[str]:
    """Sentences on what the wrong gradients are consistent with; the most telling first, none if nothing is wrong.

    Args:
        evidence: of the check that failed.
        rerun: checks other inputs; None if they cannot be served.
        remake: ``remake(N=1, T=1)`` makes inputs of these sizes.
        sizes: what the dimensions are called, to name a factor; the axes of the inputs if not given.
    """
    if not evidence.wrong:
        return []
    with np.errstate(all="ignore"):
        found = _findings(evidence, rerun, remake, sizes if isinstance(sizes, dict) else None)
    sentences = [finding.sentence(evidence) for finding in found]
    return sentences[:MOST_SENTENCES] or [UNKNOWN]


def _findings(
    evidence: Evidence, rerun: Rerun | None, remake: Callable[..., dict[str, Any]] | None, sizes: dict[str, int] | None
) -> list[Finding]:
    deadline = time.perf_counter() + SECONDS
    simulation = _simulation(evidence, deadline)
    seen = signatures(evidence, sizes, time_axes(simulation) if simulation is not None else None)
    certain = [finding for finding in seen if finding.certain]
    if explained_by(certain) == set(evidence.wrong) and len(certain) == 1:
        return certain
    simulated = _simulated(simulation, evidence) if simulation is not None else []
    if simulated and explained_by(simulated) == set(evidence.wrong) and len(simulated) < max(len(seen), 2):
        return simulated
    if explained_by(certain) == set(evidence.wrong):
        return certain
    return merged([*simulated, *certain]) or seen


def _simulation(evidence: Evidence, deadline: float) -> Simulation | None:
    if evidence.forward is None:
        return None
    try:
        simulation = Simulation(evidence, deadline)
    except Exception:  # forward does something that cannot be watched
        return None
    return simulation if simulation.trusted else None


def _simulated(simulation: Simulation, evidence: Evidence) -> list[Finding]:
    """One change that explains everything; else what explains most."""
    uses = [found for name in evidence.wrong if (found := suspects.uses_of(simulation, name)) is not None]
    uses = merged(uses)
    if explained_by(uses) == set(evidence.wrong):
        return uses
    partial: list[tuple[int, Finding]] = []
    tried = []
    for suspect in _suspects(simulation):
        if simulation.late:
            break
        if simulation.explains_all(suspect.changes):
            what = f"{_is(evidence.wrong)} what {_it(evidence.wrong)} would be {suspect.what}"
            return [Finding(tuple(evidence.wrong), what, suspect.cause)]
        tried.append(suspect)
    if len(evidence.wrong) > 1:
        for suspect in tried:
            if simulation.late:
                break
            names = simulation.explained(suspect.changes)
            if names:
                ordered = tuple(name for name in evidence.wrong if name in names)
                what = f"{_is(ordered)} what {_it(ordered)} would be {suspect.what}"
                partial.append((-len(names), Finding(ordered, what, suspect.cause)))
                if len(names) >= len(evidence.wrong) - 1:
                    break
    found = list(uses)
    for _, finding in sorted(partial, key=lambda pair: pair[0]):
        if set(finding.names) - explained_by(found):
            found.append(finding)
    return found


def _suspects(simulation: Simulation) -> Iterator[suspects.Suspect]:
    yield from suspects.states(simulation)
    for kind in derivatives.ALL:
        yield from kind(simulation)
    yield from suspects.products(simulation)
    yield from suspects.steps(simulation)
    yield from suspects.paths(simulation)


def _is(names: Any) -> str:
    return "is"


def _it(names: Any) -> str:
    return "it"
