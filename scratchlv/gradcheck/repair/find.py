"""The line of the bug: single edits of backward's source are tried until every gradient is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from scratchlv.gradcheck.evidence import Evidence, Test
from scratchlv.gradcheck.repair.apart import Counter, Emit, Stopwatch, apart
from scratchlv.gradcheck.repair.search import Found, Repair, Search

__all__ = ["Repair", "chosen", "find_repairs"]

REPORTED = 2


def find_repairs(
    backward: Callable,
    evidence: Evidence,
    tests: Sequence[Test],
    *,
    seconds: float = 10.0,
    forward: Callable | None = None,
) -> list[Repair]:
    """Edits of one line of backward, or of what it calls, that make every gradient right; at most two, the best first.

    Args:
        backward: the function that the tests call; the code of it and of what it calls is changed in a forked process.
        evidence: of the check that failed.
        tests: run backward as it is now on inputs whose slopes are known; the first on the inputs of the check that failed.
        seconds: of processor time, after which it gives up.
        forward: what it calls is not changed.
    """
    watch = Stopwatch()
    at, skipped = Counter(), set[int]()
    found: list[Found] = []
    while (left := seconds - watch.spent) > 0.05:
        at.value = -1

        def work(emit: Emit, left: float = left) -> None:
            Search(backward, evidence, tests, forward, left, emit, at, skipped).run()

        new, ended = apart(work, left)
        found += new
        if ended or found or at.value < 0 or at.value in skipped:
            break
        skipped.add(at.value)  # it crashed
    return chosen(found)


def chosen(found: Iterable[Found]) -> list[Repair]:
    """The most natural ones, one for a line; all that make everything right, or the best of the others."""
    ordered = sorted(found, key=lambda each: each.score)
    whole = [each for each in ordered if not each.repair.partial and not each.repair.also]
    pairs = [each for each in ordered if each.repair.also]
    if not whole:
        best = max(ordered, key=lambda each: (len(each.repair.right), -each.score), default=None)
        return [pairs[0].repair] if pairs else [best.repair] if best else []
    kept: list[Found] = []
    for each in whole:
        lines = {(other.repair.file, other.repair.line) for other in kept}
        if (each.repair.file, each.repair.line) not in lines and each.score < whole[0].score + 1.5:
            kept.append(each)
    return [each.repair for each in kept[:REPORTED]]
