"""``scratchlv gradcheck``: a table of every derivative that was checked."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TextIO

from scratchlv import ops
from scratchlv.errors import UserError
from scratchlv.gradcheck.compare import check_operation, operation_named
from scratchlv.gradcheck.report import Report

HEADINGS = ("operation", "variant", "case", "compared", "error", "allowed", "verdict")


def run(ops_: Sequence[str], variant: str | None, as_json: bool, out: TextIO | None = None) -> int:
    """``scratchlv gradcheck [OP...] [--variant V] [--json]``: print a table; 1 if a gradient is wrong, else 0.

    All operations if none is named; all their variants if ``variant`` is None.
    """
    out = out or sys.stdout
    reports: list[Report] = []
    names = list(ops_) or list(ops.OPERATIONS)
    rooms = {name: operation_named(name).room for name in names}
    if variant is not None and not any(variant in room.VARIANTS for room in rooms.values()):
        have = sorted({name for room in rooms.values() for name in room.VARIANTS})
        raise UserError(f"there is no variant {variant!r} of {', '.join(names)}; there are {', '.join(have)}")
    for name, room in rooms.items():
        for candidate in room.VARIANTS if variant is None else [variant]:
            if candidate in room.VARIANTS:
                reports += check_operation(name, candidate)
            else:
                reports.append(Report(name, candidate, not_checked="there is no such variant"))
    _print_table(reports, out)
    status = 0 if all(report.ok for report in reports) else 1
    if as_json:
        print(json.dumps({"status": status, "reports": [report.to_dict() for report in reports]}), file=out)
    return status


def _row(report: Report) -> tuple[str, ...]:
    worst = report.worst
    numbers = (f"{worst.error:.1e}", f"{worst.tolerance:.1e}") if worst else ("", "")
    names = " ".join(gradient.name for gradient in report.gradients)
    return report.subject, report.variant, report.case, names, *numbers, report.verdict


def _print_table(reports: list[Report], out: TextIO) -> None:
    rows = [_row(report) for report in reports]
    if out.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(*HEADINGS, box=box.SIMPLE)
        for row in rows:
            table.add_row(*row, style="red" if row[-1] == "WRONG" else None)
        Console(file=out).print(table)
    else:
        widths = [max(len(row[k]) for row in [HEADINGS, *rows]) for k in range(len(HEADINGS))]
        for row in [HEADINGS, *rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=out)
    for report in reports:
        if not report.ok or report.not_checked:
            print(report, file=out)
