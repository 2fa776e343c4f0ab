"""``scratchlv bench OP --with FILE``: is it right, how fast is it, and how does that compare?"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scratchlv.bench import ceilings, command, machine, rows
from scratchlv.bench.own import leaderboard
from scratchlv.bench.own.judging import Verdict, judge
from scratchlv.bench.own.loading import Own, Refused, entered
from scratchlv.bench.own.racing import Race
from scratchlv.bench.rows import Version
from scratchlv.bench.workloads import ROOMS
from scratchlv.errors import UserError

_AMONG = ("numba_cpu", "reference")  # what it is timed beside


def run(
    operations: Sequence[str],
    path: Path,
    *,
    name: str | None = None,
    board: Path | None = None,
    number: int | None = None,
    timed: bool = True,
) -> int:
    """Check the kernel in a file on all cases of its room, then time it beside ours; 1 if it is refused, else 0.

    CUDA C is timed on a GPU alone. With ``timed=False`` it is only checked.

    Raises:
        UserError: there is no such operation, the file cannot be read or run, or the leaderboard is another's.
    """
    if len(operations) != 1:
        raise UserError(
            f"--with {path} is of one operation: name it, as in scratchlv bench softmax_cross_entropy --with {path}"
        )
    (operation,) = command.operations_named(operations)
    if name is None:
        name = path.stem if path.stem not in _AMONG else f"{path.stem}, own"
    if name in _AMONG:
        raise UserError(f"--name {name} is ours: give another")
    if board is not None:
        leaderboard.check(board)
    with entered(path, operation, number) as own:
        served = _judged(own)
        _tell_printed(own)
        if served is None:
            return 1
        if not timed:
            return 0
        if path.suffix == ".cu":
            print("right on the CPU that plays a GPU, which says nothing of its speed: CUDA C is timed on a GPU")
            return 0
        return _race(own, name, board)


def _judged(own: Own) -> int | None:
    """How many cases it serves and is right on; None, and the reason is said, if it is refused."""
    served, left_out = 0, []
    for verdict in judge(own):
        if verdict.wrong:
            print(f"refused: {own.path}, case {verdict.case!r}: {verdict.wrong}")
            return None
        if verdict.not_served:
            left_out.append(verdict)
        else:
            served += 1
    if not served:
        print(f"refused: {own.path} serves no case of {own.operation}: {left_out[0].not_served}")
        return None
    print(
        f"{own.path}: right on {served} of the {served + len(left_out)} cases of {own.operation}{_not_served(left_out)}"
    )
    return served


def _not_served(left_out: list[Verdict]) -> str:
    if not left_out:
        return ""
    return "; it says that it cannot serve " + ", ".join(f"{each.case!r}" for each in left_out)


def _tell_printed(own: Own) -> None:
    if own.printed():
        print(f"note: {own.path} prints ({own.printed()[:60]!r} first), which costs time", file=sys.stderr)


def _race(own: Own, name: str, board: Path | None) -> int:
    room = ROOMS[own.operation]
    workload = room.make(np.random.default_rng(0), room.sizes[-1])
    limit = own.limits(**workload.inputs)
    if limit is not None:
        print(f"refused: {own.path} cannot serve the inputs that are timed: {limit}")
        return 1
    status = command.Status()
    status.say("measuring the ceilings")
    limits, here = ceilings.measure(work=[cost.bytes for cost in workload.costs.values()]), machine.describe()
    status.clear()
    command.print_header(here, limits)
    race = Race(own, name, seed=secrets.randbits(63))  # which no file can know
    chosen = [*_ours(own.operation), race.version()]
    try:
        with own.quiet():
            measured = [*rows.measure(own.operation, chosen, limits, None, status.say, checked=True)]
        race.check_afterwards()
    except Refused as refused:
        status.clear()
        print(f"refused: {own.path}: {refused}")
        return 1
    status.clear()
    shapes = ""
    for each in measured:
        shapes = command.print_row(each.row, shapes)
    mine = [each.row for each in measured if each.row.version == name]
    print(f"\nscore of {name}: {leaderboard.score(mine):.0%} of what this machine can attain")
    if board is not None:
        entered_there = leaderboard.add(board, leaderboard.entry(name, own.path, mine, here), here)
        for line in leaderboard.lines(entered_there, own.operation):
            print(line)
    return 0


def _ours(operation: str) -> list[Version]:
    return [version for version in rows.versions(operation) if version.name in _AMONG]
