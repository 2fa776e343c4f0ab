"""The command ``scratchlv bench``: what it prints and writes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scratchlv.bench import ceilings, compare, machine, plot, rows
from scratchlv.bench.gpu import command as gpu
from scratchlv.bench.rows import Measured, Row, Version
from scratchlv.bench.workloads import ROOMS
from scratchlv.errors import UserError
from scratchlv.ops import OPERATIONS
from scratchlv.output import styled
from scratchlv.training.checkpoint import write_json_atomically

_HEADINGS = (
    "version",
    "pass",
    "ms: median [20%–80%]",
    "cold",
    "GFLOP/s",
    "GB/s",
    "flop/byte",
    "attained",
    "first call",
)
_WIDTHS = (34, 8, 26, 9, 8, 7, 9, 8, 0)


class Status:
    """What is being done: one line that is written over on a terminal; nothing elsewhere, where the rows tell enough."""

    def __init__(self) -> None:
        self.shown = sys.stderr is not None and sys.stderr.isatty()

    def say(self, text: str) -> None:
        if self.shown:
            print(f"\r\x1b[2K{text[:78]}", end="", file=styled(sys.stderr), flush=True)

    def say_at(self, place: str) -> Callable[[str], None]:
        """:meth:`say`, each text after ``place``."""
        return lambda text: self.say(place + text)

    def clear(self) -> None:
        self.say("")


def run(
    operations: Sequence[str],
    json_file: Path | None = None,
    compare_file: Path | None = None,
    plot_file: Path | None = None,
    *,
    variant: str | None = None,
    number: int | None = None,
) -> int:
    """Check, time and print; returns 1 if a kernel is wrong, 130 if Ctrl-C cut it short, else 0.

    All versions of the operations that the CPU runs; those of one ``variant`` (on a GPU, for "cuda"), or that of one ``number``,
    of the rooms that have it.

    Raises:
        UserError: there is no such operation, variant or version, or a file cannot be read or written.
    """
    names = operations_named(operations)
    if number is not None and variant is None:
        raise UserError(f"--version {number} is one of a variant's: say which, --variant cuda for one")
    chosen = {name: rows.versions(name, variant) for name in names} if variant != "cuda" else {}
    if chosen and variant is not None and number is not None:
        chosen = rows.numbered(chosen, variant, number)
    for option, path in (("--json", json_file), ("--plot", plot_file)):
        if path is not None:
            _check_writable(option, path)
    if variant == "cuda":
        if compare_file is not None or plot_file is not None:
            raise UserError("--compare and --plot are of the CPU's kernels; leave them out with --variant cuda")
        return gpu.run(names, number, json_file)
    before = None if compare_file is None else compare.read(compare_file)
    status = Status()
    status.say("measuring the ceilings")
    limits = ceilings.measure()
    here = machine.describe()
    status.clear()
    print_header(here, limits)
    measured: list[Measured] = []
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    interrupted = False
    try:
        _measure_all(chosen, limits, measured, status)
        if plot_file is not None:
            for name, found in chosen.items():
                if "numba_cpu" in (version.name for version in found):
                    curves[name] = rows.curve(name, status.say)
        status.say("measuring the ceilings again")
        limits = _again(limits, [m.row for m in measured])
        status.clear()
    except KeyboardInterrupt:
        status.clear()
        interrupted = True
        print("interrupted: what is written holds the rows above")
    document = _document(here, limits, [m.row for m in measured], curves, interrupted)
    if json_file is not None:
        write_json_atomically(json_file, document)
        print(f"wrote {json_file}", file=sys.stderr)
    if plot_file is not None:
        plot_file.write_text(plot.page(document), encoding="utf-8")
        print(f"wrote {plot_file}", file=sys.stderr)
    if before is not None and not interrupted:
        _print_comparison(before, document, measured)
    wrong = [m.row for m in measured if m.row.wrong]
    for row in wrong:
        print(f"WRONG: {row.name}: {row.wrong}")
    for m in measured:
        if m.row.exceeds:
            print(f"EXCEEDS THE CEILING, which is too low then: {m.row.name}: {m.row.share:.0%}")
    return 130 if interrupted else 1 if wrong else 0


def operations_named(operations: Sequence[str]) -> list[str]:
    """The operations of these names that have a workload; all of them if none is named.

    Raises:
        UserError: there is no such operation.
    """
    unknown = [name for name in operations if name not in OPERATIONS]
    if unknown:
        raise UserError(f"there is no operation {unknown[0]!r}; there are {', '.join(OPERATIONS)}")
    return [name for name in OPERATIONS if (name in operations or not operations) and name in ROOMS]


def _check_writable(option: str, path: Path) -> None:
    """Before minutes of work, not after."""
    try:
        with open(path, "a", encoding="utf-8"):
            pass
    except OSError as error:
        raise UserError(f"{option} {path} cannot be written ({error.strerror}); give another file") from None


def _measure_all(
    chosen: dict[str, list[Version]], limits: ceilings.Ceilings, measured: list[Measured], status: Status
) -> None:
    """Fills ``measured``, and prints each row when it is there."""
    flush = ceilings.flusher()
    for number, (name, found) in enumerate(chosen.items(), 1):
        shapes, place = "", f"[{number}/{len(chosen)}] "
        for each in rows.measure(name, found, limits, flush, status.say_at(place), others=True):
            status.clear()
            shapes = print_row(each.row, shapes)
            measured.append(each)


# --- text ------------------------------------------------------------------------------------------------------------


def print_row(row: Row, shapes: str = "") -> str:
    """A row, below a heading if its shapes are not those of the row before; returns its shapes."""
    if row.shapes != shapes:
        print(f"\n{row.operation}: {row.shapes}, float32\n" + _line(_HEADINGS))
    print(_line(_cells(row)), flush=True)
    return row.shapes


def print_header(here: dict[str, Any], limits: ceilings.Ceilings) -> None:
    for line in machine.header(here):
        print(line)
    patterns = ", ".join(f"{name} {speed / 1e9:.1f}" for name, speed in limits.memory.items())
    by_size = ", ".join(f"{_size(moved)} {max(speeds.values()) / 1e9:.0f}" for moved, speeds in limits.caches.items())
    caches = f"; caches: {by_size}" if by_size else ""
    print(f"ceilings, measured now: {limits.peak / 1e9:.0f} GFLOP/s multiply-add; memory, GB/s: {patterns}{caches}")
    print("attained: the share of min(peak, flop/byte × bandwidth)", flush=True)


def _again(before: ceilings.Ceilings, found: list[Row]) -> ceilings.Ceilings:
    """The ceilings, measured a second time: the better of both times count, and a machine that was not at rest is told of."""
    after = ceilings.measure()
    for what, then, now in (("peak", before.peak, after.peak), ("memory", before.best_memory, after.best_memory)):
        if abs(now / then - 1) > compare.CEILINGS_DIFFER:
            print(
                f"note: the machine was not at rest: its {what} was {then / 1e9:.1f} at first, and {now / 1e9:.1f} at the end; "
                "what is written has the better one"
            )
    best = before.better(after)
    for row in found:
        row.least_seconds = best.least_seconds(row.operations, row.bytes)
    return best


def _print_comparison(before: dict[str, Any], document: dict[str, Any], measured: list[Measured]) -> None:
    print(f"\nagainst the run of {before['machine']['date']}, commit {before['machine']['commit']}:")
    for sentence in compare.differences(before, document):
        print(f"note: {sentence}")
    for line in compare.compare(before, measured):
        print(line)


def _cells(row: Row) -> tuple[str, ...]:
    if row.wrong or row.not_served:
        return row.version, row.part, f"wrong: {row.wrong}" if row.wrong else f"cannot serve this: {row.not_served}"
    assert row.warm is not None
    warm, seconds = row.warm, row.warm.median
    return (
        row.version,
        row.part,
        f"{_ms(warm.median)} [{_ms(warm.p20)}–{_ms(warm.p80)}]",
        _ms(row.cold.median) if row.cold else "",
        f"{row.operations / seconds / 1e9:.1f}",
        f"{row.bytes / seconds / 1e9:.1f}",
        f"{row.intensity:.2f}",
        f"{row.share:.0%}",
        _first_call(row),
    )


def _first_call(row: Row) -> str:
    seconds = f"{row.first_call_seconds:.2f} s"
    return f"{seconds}, {row.compiled} compiled" if row.compiled else seconds


def _line(cells: Sequence[str]) -> str:
    left = 3 if len(cells) == 3 else 2  # the first two columns stand left, numbers right
    padded = [
        cell.ljust(width) if k < left or k == len(_WIDTHS) - 1 else cell.rjust(width)
        for k, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=False))
    ]
    return "  ".join(padded).rstrip()


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:#.3g}".rstrip(".") if seconds < 1 else f"{1e3 * seconds:.0f}"


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _document(
    here: dict[str, Any], limits: ceilings.Ceilings, found: list[Row], curves: dict[str, Any], interrupted: bool
) -> dict[str, Any]:
    return {
        "scratchlv_bench": compare.FORMAT,
        "machine": here,
        "ceilings": limits.to_json(),
        "rows": [row.to_json() for row in found],
        "curves": curves,
        "interrupted": interrupted,
    }
