"""The matrix products that models are made of: our ``gemm`` against MKL and OpenBLAS, GFLOP/s.

    python benchmarks/products.py [--only NAME…] [--threads 1,2] [--isa avx2|sse] [--blocks N] [--seconds S] [--json FILE]

Each library multiplies in a process of its own, ours in two ways: W as it lies, and packed before, as a model has it whose
weight serves many products. Results are compared first. Then all are timed in alternating blocks (A B C A B C …); those whose
turn it is not are stopped. With one thread, each process is pinned to the same core. MKL is called through ``torch.mm``, and
may use its AVX-512 kernels on processors of any maker; OpenBLAS is NumPy's. Told are the speeds at the median and at the 20th
percentile of all times. "Of best" is ours (W as it lies) over the better of MKL and OpenBLAS; "of peak" ours over the ceiling
of this run, the best of several measurements; "peak then" are those around the product: two virtual cores may be one of the
host's for a while.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import arguments  # noqa: E402
import environments  # noqa: E402
from ceiling import Ceiling  # noqa: E402
from comparing import Refused, say, version  # noqa: E402
from multiplying import LIBRARIES, PEERS, PRODUCTS, Product  # noqa: E402
from workers import Worker  # noqa: E402

from scratchlv.bench import machine  # noqa: E402
from scratchlv.bench.text import aligned, rounded  # noqa: E402

TOLERANCE = 1e-5  # of a product, relative to its largest number


def main() -> None:
    options = parse()
    products = choose(options.only)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="scratchlv-") as folder:
            for threads in options.threads:
                measure(products, threads, options, Path(folder), rows)
    except KeyboardInterrupt:
        say("interrupted; what was measured before is kept")
        print(table(rows))
        sys.exit(130)
    except Refused as error:
        print(table(rows))
        print(f"not timed: {error}")
        sys.exit(1)
    print(table(rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="products whose name holds one of these")
    arguments.add(parser, threads="1,2")
    parser.add_argument("--blocks", type=int, default=7, metavar="N", help="of each library and product (default: 7)")
    parser.add_argument("--seconds", type=float, default=0.15, metavar="S", help="of a block (default: 0.15)")
    parser.add_argument("--without", nargs="+", default=[], choices=PEERS, help="libraries that are left out")
    return arguments.parsed(parser)


def choose(names: list[str]) -> list[Product]:
    chosen = [each for each in PRODUCTS if not names or any(name in each.name for name in names)]
    unknown = [name for name in names if not any(name in each.name for each in PRODUCTS)]
    if unknown:
        print(
            f"there is no product {unknown[0]!r}; there are {', '.join(each.name for each in PRODUCTS)}",
            file=sys.stderr,
        )
        sys.exit(2)
    return chosen


# --- measuring -------------------------------------------------------------------------------------------------------


class Core(NamedTuple):
    """Where processes of one thread run; None: on any."""

    number: int | None

    def pin(self, process: int) -> None:
        if self.number is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process, {self.number})


def measure(
    products: list[Product], threads: int, options: argparse.Namespace, folder: Path, rows: list[dict[str, Any]]
) -> None:
    """Add a row for each product with so many threads; the ceiling is measured before, between and after.

    Raises:
        Refused: a library failed, or its product is not ours.
    """
    said = f"{threads} thread{'s' * (threads > 1)}"
    say(f"{said}: the ceiling, and {', '.join(LIBRARIES)}")
    core = Core(environments.cores()[0] if threads == 1 else None)
    held = environments.held_to(options.isa) | environments.on_threads(threads)
    library = environments.avx512_library(folder)
    variables = {name: environments.freed(environments.variables()) | held for name in LIBRARIES}
    variables["MKL"] |= environments.tuned_mkl(library)
    libraries = [name for name in LIBRARIES if name not in options.without and (name != "MKL" or version("torch"))]
    before = len(rows)
    with contextlib.ExitStack() as stack:
        ceiling = stack.enter_context(Ceiling(variables["ours"], folder, core.pin))
        workers = {
            name: stack.enter_context(
                Worker(name, [HERE / "multiplying.py", name, ",".join(each.name for each in products)], variables[name], folder)
            )
            for name in libraries
        }  # fmt: skip
        for worker in workers.values():
            core.pin(worker.process.pid)  # before it starts threads, which inherit it
        compare({name: workers[name].start() for name in libraries})
        for number, product in enumerate(products):
            say(f"{said}, {number + 1} of {len(products)}: {product.name}")
            then = [ceiling.measure_peak()]
            times: dict[str, list[float]] = {name: [] for name in libraries}
            for _ in range(options.blocks):
                for name in libraries:
                    times[name] += workers[name].run(f"{product.name} {options.seconds}")
            rows.append(row(product, threads, times, variables) | {"isa": options.isa, "vectors": ceiling.width})
            then.append(ceiling.measure_peak())
            rows[-1]["peaks_gflops"] = [rounded(peak / 1e9) for peak in then]
            finish(rows[before:], ceiling.peak / 1e9)
            if options.json is not None:
                options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def compare(results: dict[str, dict[str, np.ndarray]]) -> None:
    """Raises Refused where the product of a library is not that of ours."""
    for library, products in results.items():
        for name, value in products.items():
            ours = results["ours"][name]
            with np.errstate(invalid="ignore"):
                apart = float(np.abs(value - ours).max() / np.abs(ours).max())
            if not apart <= TOLERANCE:
                raise Refused(f"{library}: {name} differs from ours by {apart:.1e} of its largest number")


def row(
    product: Product, threads: int, times: dict[str, list[float]], variables: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """The figures of a product; ``times`` are in ms."""
    figures = {
        name: {
            "median_gflops": rounded(product.flops / np.median(values) / 1e6),
            "p20_gflops": rounded(product.flops / np.percentile(values, 20) / 1e6),  # of the times: the better end
            "samples": len(values),
            "environment": environments.recorded(variables[name]),
        }
        for name, values in times.items()
    }
    peers = [figures[name] for name in PEERS if name in figures]
    of_best = {
        f"of_best_{which}": rounded(figures["ours"][f"{which}_gflops"] / max(each[f"{which}_gflops"] for each in peers))
        for which in ("median", "p20")
        if peers
    }
    return {
        "product": product.name,
        "what": product.what,
        "threads": threads,
        "libraries": figures,
        **of_best,
        "date": datetime.date.today().isoformat(),
        "processor": machine.processor(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("numpy", "numba", "torch")}},
        "commit": machine.commit(),
    }  # fmt: skip


def finish(rows: list[dict[str, Any]], peak: float) -> None:
    """The ceiling of the run so far, and what exceeds it: by 20th percentiles, as a ceiling is of good moments too."""
    for each in rows:
        each["peak_gflops"] = rounded(peak)
        each["of_peak"] = rounded(each["libraries"]["ours"]["median_gflops"] / peak)
        each["exceeds"] = [name for name, figure in each["libraries"].items() if figure["p20_gflops"] > peak]


def table(rows: list[dict[str, Any]]) -> str:
    """One line for a product and a number of threads; figures are median | 20th percentile."""
    lines = [("product", "threads", *LIBRARIES, "of best", "peak", "of peak", "peak then", "")]
    for each in rows:
        figures = [each["libraries"].get(name) for name in LIBRARIES]
        said = [f"{f['median_gflops']:.0f} | {f['p20_gflops']:.0f}" if f else "" for f in figures]
        best = f"{each['of_best_median']:.2f} | {each['of_best_p20']:.2f}" if "of_best_median" in each else ""
        loud = f"EXCEEDS THE CEILING: {', '.join(each['exceeds'])}" if each["exceeds"] else ""
        peak = (f"{each['peak_gflops']:.0f}", f"{each['of_peak']:.0%}")
        then = "–".join(f"{peak:.0f}" for peak in each.get("peaks_gflops", []))
        lines.append((each["product"], str(each["threads"]), *said, best, *peak, then, loud))
    return aligned(lines, left=(0, len(lines[0]) - 1))


if __name__ == "__main__":
    main()
