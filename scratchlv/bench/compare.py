"""Two runs of the bench against each other: faster, slower, or no more than noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scratchlv.bench import machine
from scratchlv.bench.rows import Measured, Row
from scratchlv.bench.timing import Timing
from scratchlv.errors import UserError

FORMAT = 1
_LEAST_NOISE = 0.03  # however still the machine was: two runs never lay code and data out alike
CEILINGS_DIFFER = 0.1
Key = tuple[str, str, str, str]


def read(path: Path) -> dict[str, Any]:
    """
    Raises:
        UserError: it cannot be read, or is not what ``--json`` writes.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--compare {path} cannot be read ({error.strerror}); give a file that --json wrote") from None
    except ValueError as error:
        raise UserError(f"--compare {path} is no JSON ({error}); give a file that --json wrote") from None
    if not isinstance(document, dict) or document.get("scratchlv_bench") != FORMAT:
        raise UserError(
            f"--compare {path} is not of this version's 'scratchlv bench --json'; give a file that it wrote"
        )
    return document


def differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Sentences on what was not the same for both runs: ``machine`` and ``ceilings`` of either."""
    for name in machine.SAME:
        then, here = before["machine"].get(name), now["machine"][name]
        if then != here:
            yield f"another machine: {name} was {then}, and is {here}; the times cannot tell what the code did"
    for name in ("peak_gflops", "memory_gbs"):
        then, here = before["ceilings"][name], now["ceilings"][name]
        if abs(here / then - 1) > CEILINGS_DIFFER:
            yield f"the machine itself ran at another speed: {name} was {then:.1f}, and is {here:.1f}"


def compare(before: dict[str, Any], measured: Sequence[Measured]) -> Iterator[str]:
    """A line for each row that both runs have, the largest change first; what seems to differ is timed once more."""
    old = {_key(row): Timing(**row["warm"]) for row in before["rows"] if row["warm"]}
    lines = []
    for row, again in measured:
        then = old.get(_row_key(row))
        if row.warm is None or then is None:
            continue
        ratio, said = judge(then, row.warm, again)
        lines.append(
            (abs(ratio - 1), f"{row.name:50} {1e3 * then.median:10.3f} ms -> {1e3 * row.warm.median:10.3f} ms  {said}")
        )
    if not lines:
        yield "no row of the old run was measured in this one"
    for _, line in sorted(lines, reverse=True):
        yield line


def judge(then: Timing, now: Timing, again: Callable[[], Timing] | None) -> tuple[float, str]:
    """The ratio of the times, and a verdict: a change counts where it is beyond the noise, twice and in the same direction."""
    ratio = now.median / then.median
    if not _differs(then, now):
        return ratio, f"within noise (±{100 * _noise(then, now):.0f}%)"
    if again is not None:
        repeated = again()
        if not _differs(then, repeated) or (repeated.median > then.median) != (now.median > then.median):
            return ratio, "within noise (a second timing did not confirm the change)"
    return ratio, f"slower, {ratio:.2f}x the time" if ratio > 1 else f"faster, {1 / ratio:.2f}x"


def _differs(then: Timing, now: Timing) -> bool:
    """Their bands from the 20th to the 80th percentile lie apart, and the medians by more than the noise."""
    apart = now.p20 > then.p80 or now.p80 < then.p20
    return apart and abs(now.median / then.median - 1) > _noise(then, now)


def _noise(*timings: Timing) -> float:
    """How far a median of either may be off, as a share of it."""
    return max(_LEAST_NOISE, *((timing.p80 - timing.p20) / timing.median for timing in timings))


def _key(row: dict[str, Any]) -> Key:
    return row["operation"], row["version"], row["part"], row["shapes"]


def _row_key(row: Row) -> Key:
    return row.operation, row.version, row.part, row.shapes
