"""The figures of a run as a table for ``docs/results.md``.

python benchmarks/as_markdown.py FILE             what cpu.py, products.py or runs.py wrote with --json
python benchmarks/as_markdown.py BEFORE AFTER     two files of cpu.py
python benchmarks/as_markdown.py --into DOCUMENT  each table of a document between the line <!-- FILE --> and <!-- end -->, anew
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
MARKED = re.compile(r"(?<=^<!-- )(\S+\.json)( -->\n).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL)


def main() -> None:
    names = sys.argv[1:]
    if len(names) not in (1, 2):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        if names[0] == "--into":
            document = Path(names[1])
            document.write_text(filled(document.read_text("utf-8")), encoding="utf-8")
        else:
            print(page([read(Path(name)) for name in names]))
    except (OSError, ValueError, KeyError, IndexError) as error:
        print(f"{' '.join(names)}: no figures of a benchmark ({error})", file=sys.stderr)
        sys.exit(2)


def read(file: Path) -> list[Row]:
    return json.loads(file.read_text("utf-8"))


def filled(document: str) -> str:
    """A document with each marked table as its file, relative to the repository, says, or that there is none."""

    def table(found: re.Match) -> str:
        file = ROOT / found[1]
        return f"{found[1]}{found[2]}{page([read(file)]) if file.exists() else 'Not measured yet.'}\n"

    return MARKED.sub(table, document)


def page(runs: list[list[Row]]) -> str:
    """The table, after a line on where it was measured."""
    if len(runs) == 2:
        return comparison(*runs)
    (rows,) = runs
    kinds = {"case": cases, "product": products, "run": whole_runs}
    (kind,) = kinds.keys() & rows[0].keys()
    return f"{where(rows)}\n\n{kinds[kind](rows)}"


def where(rows: list[Row]) -> str:
    """The processor, the vectors, the threads, the date and the commits of a run."""

    def all_of(of: Iterable[Any]) -> str:
        return ", ".join(dict.fromkeys(str(each) for each in of if each is not None))

    told = [
        all_of(row.get("processor") for row in rows),
        all_of(f"held to {row['isa'].upper()}" for row in rows if row.get("isa")),
        all_of(f"vectors of {row['vectors']} floats" for row in rows if "vectors" in row),
        all_of(row["date"] for row in rows),
        f"commit {all_of(row.get('commit') for row in rows)}",
        ", ".join(f"{name} {number}" for name, number in rows[0].get("versions", {}).items() if number),
    ]
    return "; ".join(part for part in told if part) + "."


def cases(rows: list[Row]) -> str:
    """Of ``cpu.py``."""
    head = ("case", "ours", "PyTorch as installed", "PyTorch at its best", "textbook NumPy", "limit", "ratio")
    head += ("ratio to the best", "share of the limit", "peak then", "efficiency of threads", "goal", "met")
    lines = []
    for row in rows:
        names = ("ours_ms", "torch_ms", "torch_best_ms", "numpy_ms", "limit_ms")
        times = [figure(row.get(name)) for name in names]
        ratios = [figure(row.get(name), 2) for name in ("ratio", "ratio_best")]
        loud = " (exceeds the ceiling)" if row.get("exceeds") else ""
        efficiency = f"{row['efficiency']:.0%}" if row.get("efficiency") else ""
        shares = (f"{row['share_of_limit']:.0%}{loud}", then(row), efficiency)
        lines.append((f"`{row['case']}`", *times, *ratios, *shares, goals(row["goal"]), "yes" if row["met"] else "no"))
    notes = [f"Left out of `{row['case']}`: {reason}." for row in rows for reason in row.get("left_out", {}).values()]
    return "\n".join([grid(head, lines), *([""] + notes if notes else [])])


def then(row: Row) -> str:
    """The peaks around a row, GFLOP/s."""
    return "–".join(f"{peak:.0f}" for peak in row.get("peaks_gflops", []))


def goals(goal: dict[str, float]) -> str:
    said = {"ratio": "≥ {:g}", "ratio_best": "best ≥ {:g}", "share": "≥ {:.0%} of the limit"}
    return ", ".join(said[name].format(value) for name, value in goal.items())


def comparison(before: list[Row], after: list[Row]) -> str:
    """Of two runs of ``cpu.py``: milliseconds, and the ratio to PyTorch at its best."""
    old = {row["case"]: row for row in before}
    lines = []
    for row in after:
        was = old.get(row["case"])
        if was is not None:
            times = (figure(was["ours_ms"]), figure(row["ours_ms"]), figure(was["ours_ms"] / row["ours_ms"], 2))
            ratios = (figure(was["ratio_best"], 2), figure(row["ratio_best"], 2))
            lines.append((f"`{row['case']}`", *times, *ratios))
    head = ("case", "ours before, ms", "ours after", "times as fast", "ratio to PyTorch's best before", "after")
    return f"Before: {where(before)}\nAfter: {where(after)}\n\n{grid(head, lines)}"


def products(rows: list[Row]) -> str:
    """Of ``products.py``: GFLOP/s."""
    libraries = list(rows[0]["libraries"])
    head = ("product", "threads", *libraries, "of the better of both", "of the peak", "peak then")
    lines = []
    for row in rows:
        speeds = [row["libraries"].get(name) for name in libraries]
        told = [f"{s['median_gflops']:.0f} ({s['p20_gflops']:.0f})" if s else "" for s in speeds]
        loud = " (exceeded)" if row["exceeds"] else ""
        shares = (
            figure(row.get("of_best_median"), 2),
            f"{row['of_peak']:.0%} of {row['peak_gflops']:.0f}{loud}",
            then(row),
        )
        lines.append((f"{row['what']}", str(row["threads"]), *told, *shares))
    return grid(head, lines)


def whole_runs(rows: list[Row]) -> str:
    """Of ``runs.py``."""
    head = (
        "run",
        "side",
        "items a second",
        "an epoch, s",
        "forward and backward",
        "clipping and optimiser",
        "outside",
        "loss",
    )
    lines = []
    for row in rows:
        for side, f in row["sides"].items():
            shares = [f"{share:.1%}" for share in (f["shares"]["model"], f["shares"]["update"], f["outside"])]
            speed = (f"{f['items_per_second']:,.0f} {row['items']}", f"{f['epoch_seconds']:.0f}")
            lines.append((row["what"], side, *speed, *shares, f"{f['loss']:.3f}"))
    return grid(head, lines)


def figure(value: float | None, places: int | None = None) -> str:
    """Three digits, or so many places; nothing where there is no such side."""
    if value is None:
        return ""
    return f"{value:.{places}f}" if places is not None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


if __name__ == "__main__":
    main()
