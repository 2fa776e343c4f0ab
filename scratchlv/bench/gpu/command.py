"""``scratchlv bench --variant cuda``: every numbered version of the CUDA kernels, or one of them, on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scratchlv.bench import machine
from scratchlv.bench.gpu import Row
from scratchlv.bench.rows import having
from scratchlv.bench.text import aligned
from scratchlv.cuda.availability import describe, what_is_wrong
from scratchlv.errors import UserError
from scratchlv.training.checkpoint import write_json_atomically

SECONDS = 0.25  # for one timing
FORMAT = 1


def run(names: Sequence[str], number: int | None = None, json_file: Path | None = None) -> int:
    """Check, time and print; returns 1 if a kernel is wrong, 130 if Ctrl-C cut it short, else 0.

    Raises:
        UserError: there is no GPU, or no room has a version of that number.
    """
    problem = what_is_wrong()
    if problem is not None:
        check = ["scratchlv gradcheck", *names, "--variant cuda", *([] if number is None else [f"--version {number}"])]
        raise UserError(
            f"--variant cuda is timed on a GPU alone, and {problem}; '{' '.join(check)}' checks it on the CPU"
        )
    from scratchlv.bench.gpu import ceilings, kernels

    if number is not None:
        words = {name: {version.number: version.words for version in kernels.versions(name)} for name in names}
        names = having(words, "cuda", number)
    where = machine.describe() | {"gpu": describe()}
    print(f"{where['gpu']}; {where['processor']}, {where['cores']} cores; {where['date']}")
    limits = ceilings.bandwidths(SECONDS) | ceilings.products(SECONDS)
    told = ", ".join(f"{limits[f'{name}_gbs']:.0f} ({name})" for name in ("copy", "update", "read"))
    print(f"ceilings, measured now: {limits['float32_gflops']:.0f} GFLOP/s in float32; memory, GB/s: {told}")
    rows: list[Row] = []
    interrupted = False
    try:
        for name in names:
            found = _measure(name, limits, number)
            print("\n" + aligned([kernels.HEAD, *map(kernels.line, found)], kernels.LEFT), flush=True)
            rows += found
    except KeyboardInterrupt:
        interrupted = True
        print("interrupted: what is written holds the rows above")
    if json_file is not None:
        document: dict[str, Any] = {"scratchlv_bench_gpu": FORMAT, "machine": where, "ceilings": limits, "rows": rows}
        write_json_atomically(json_file, document | {"interrupted": interrupted})
    wrong = [row["wrong"] for row in rows if "wrong" in row]
    for words in wrong:
        print(f"WRONG: {words}")
    return 130 if interrupted else 1 if wrong else 0


def _measure(name: str, limits: Row, number: int | None) -> list[Row]:
    """The rows of a room, those of wrong versions too."""
    from scratchlv.bench.gpu import kernels

    try:
        return kernels.measure(name, limits, SECONDS, number)
    except kernels.Wrong as error:
        return error.rows
