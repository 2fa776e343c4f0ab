"""``scratchlv gradcheck``: a row for every derivative that is checked, as soon as it is known."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

import numpy as np
from rich.console import Console

from scratchlv import ops
from scratchlv.errors import KernelsUnavailable, UserError
from scratchlv.gradcheck.compare import check_cases, operation_named, version_numbers
from scratchlv.gradcheck.report import NOT_CHECKED, RIGHT, WRONG, Report
from scratchlv.output import styled

HEADINGS = ("verdict", "operation", "variant", "case", "error", "allowed", "compared")
_GAP = "  "
VERDICTS = (RIGHT, WRONG, NOT_CHECKED)
DEFAULT = ("reference", "numba_cpu")  # "cuda" takes minutes where a CPU has to play the GPU


def run(
    ops_: Sequence[str],
    variant: str | None,
    as_json: bool,
    out: TextIO | None = None,
    version: int | None = None,
) -> int:
    """``scratchlv gradcheck [OP...] [--variant V] [--version N] [--json]``: 1 if a gradient is wrong, else 0.

    All operations if none is named; the variants of :data:`DEFAULT` if ``variant`` is None. ``version`` is the number of one
    version of the variant, of the operations that have it.

    Raises:
        UserError: there is no such operation, variant or version.
    """
    out = out or sys.stdout
    names = list(ops_) or list(ops.OPERATIONS)
    plan = _plan(names, variant, version)
    began = time.perf_counter()
    table = _Table(out, plan)
    reports: list[Report] = []
    for name, each, number in plan:
        for report in check_cases(name, each, version=number):
            reports.append(report)
            table.add(report)
    table.finish(reports, time.perf_counter() - began)
    status = 1 if any(report.verdict == WRONG for report in reports) else 0
    if as_json:
        print(json.dumps({"status": status, "reports": [report.to_dict() for report in reports]}), file=out)
    return status


Plan = list[tuple[str, str, int | None]]  # operation, variant, version


def _plan(names: list[str], variant: str | None, version: int | None) -> Plan:
    """What is to be checked, known to be there."""
    rooms = {name: operation_named(name).room for name in names}
    if version is not None and variant is None:
        raise UserError(f"--version {version} is one of a variant's: say which, --variant cuda for one")
    wanted = _runnable() if variant is None else (variant,)
    plan: Plan = [(name, each, version) for name, room in rooms.items() for each in wanted if each in room.VARIANTS]
    if not plan:
        have = sorted({name for room in rooms.values() for name in room.VARIANTS})
        raise UserError(f"there is no variant {variant!r} of {', '.join(names)}; there are {', '.join(have)}")
    if version is not None:
        numbers = {name: version_numbers(name, each) for name, each, _ in plan}
        plan = [row for row in plan if version in numbers[row[0]]]
        if not plan:
            there = "; ".join(f"{name} has {', '.join(map(str, found)) or 'none'}" for name, found in numbers.items())
            raise UserError(f"there is no version {version} of the variant {variant}: {there}")
        lack = [name for name, found in numbers.items() if version not in found]
        if lack:
            print(f"note: left out, without a version {version} of {variant}: {', '.join(lack)}", file=sys.stderr)
    return plan


def _runnable() -> tuple[str, ...]:
    """The variants of :data:`DEFAULT` that can run here."""
    try:
        ops.linear.variant("numba_cpu")
    except KernelsUnavailable:
        return ("reference",)
    return DEFAULT


class _Table:
    """Rows as they come; their widths are known beforehand, but for the last column's.

    A row that is longer than the terminal is wide goes on below itself; where none would fit, they are not set in columns.
    """

    def __init__(self, out: TextIO, plan: Plan) -> None:
        self._out, self._console = out, Console(file=styled(out), highlight=False) if out.isatty() else None
        cases = {name: [*operation_named(name).room.cases(np.random.default_rng(0))] for name, *_ in plan}
        columns = (
            VERDICTS,
            cases,
            [each for _, each, _ in plan],
            [case for of_room in cases.values() for case in of_room],
        )
        widths = [max(map(len, (heading, *cells))) for heading, cells in zip(HEADINGS, columns, strict=False)]
        self._widths = (*widths, 7, 7, 0)
        if self._console is not None and sum(self._widths) + len(_GAP) * len(HEADINGS) > self._console.width:
            self._widths = (widths[0], *[0] * len(HEADINGS[1:]))
        self._print(HEADINGS)

    def add(self, report: Report) -> None:
        self._print(_row(report), wrong=report.verdict == WRONG)
        if report.verdict == WRONG:
            print(report, file=self._out)

    def finish(self, reports: list[Report], seconds: float) -> None:
        verdicts = Counter(report.verdict for report in reports)
        counted = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS)
        print(f"{counted}, in {seconds:.0f} s", file=self._out)

    def _print(self, row: tuple[str, ...], wrong: bool = False) -> None:
        line = _GAP.join(cell.ljust(width) for cell, width in zip(row, self._widths, strict=True)).rstrip()
        if self._console is None:
            print(line, file=self._out, flush=True)
            return
        below = " " * (self._widths[0] + len(_GAP))
        lines = textwrap.wrap(line, self._console.width, subsequent_indent=below)
        self._console.print("\n".join(lines), style="red" if wrong else None, markup=False, soft_wrap=True)


def _row(report: Report) -> tuple[str, ...]:
    worst = report.worst
    numbers = (f"{worst.error:.1e}", f"{worst.tolerance:.1e}") if worst else ("", "")
    reasons = "; ".join(gradient.reason for gradient in report.gradients if gradient.verdict == NOT_CHECKED)
    compared = report.not_checked or reasons or " ".join(gradient.name for gradient in report.gradients)
    return report.verdict, report.subject, report.variant, report.case, *numbers, compared
