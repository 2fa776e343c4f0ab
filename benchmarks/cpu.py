"""Our models and kernels on the CPU against PyTorch, and against textbook NumPy.

    python benchmarks/cpu.py [--only NAME…] [--threads 1,2] [--isa avx2|sse] [--json FILE]

Each side of a case runs in a process of its own. All take one step from the same parameters first. A side whose losses or
gradients are not ours is left out and named, and the others are timed; only where nobody agrees with ours, the case is not
timed. Then every side is tried for a moment, and the fastest of each kind are timed in alternating blocks
(A B C A B C …); those whose turn it is not are stopped, so that nobody's waiting threads disturb another. A figure is the median
of all steps, with its 20% and 80% quantiles.

PyTorch runs as installed, and tuned: MKL free to take its AVX-512 kernels on processors of any maker (a preloaded library
tells it that this one is Intel's; that needs gcc), and glibc told to keep the memory that is freed. NumPy runs as installed,
and with OpenBLAS free to choose its kernels where the environment forbids it. The fastest counts: `torch_ms` is PyTorch eager
as installed, `torch_best_ms` whatever was fastest.
`limit_ms` is what the arithmetic and the traffic of memory that no implementation can do without would take at this machine's
ceilings: the best peak of the run, measured before and after each case, and the bandwidths before the case, and after it where
they are all that bounds it. The peaks around a case ("peak then") say in which state the machine was: two virtual cores may be
one of the host's for a while. Where a side takes less than the limit, a ceiling is wrong, and the row says so; but for Winograd's
convolutions, which do with fewer multiplications than were counted.

`--threads 1,2`: all are timed with the most of these threads, ours with the others as well, and its bits must be the same;
"efficiency" is the fewest threads' time over that of the most, times the ratio of their numbers. `--isa avx2` holds every side
to vectors of 8 floats (sse: 4). A JSON file that is there already keeps its rows of other cases.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import arguments  # noqa: E402
import environments  # noqa: E402
import workers  # noqa: E402
from case import NUMPY, OURS, TORCH, Case, Side  # noqa: E402
from ceiling import Ceiling  # noqa: E402
from comparing import Refused, clock, difference, say, version  # noqa: E402
from table import all_cases  # noqa: E402

from scratchlv.bench import machine  # noqa: E402
from scratchlv.bench.ceilings import Ceilings  # noqa: E402
from scratchlv.bench.text import aligned, rounded  # noqa: E402

INSTALLED, TUNED = "as installed", "tuned"
TRIAL_SECONDS, BLOCK_SECONDS, BLOCKS = 0.4, 0.6, 5
CLOSE = 1.1  # whoever is so near to the fastest of its kind in the trial is timed as well
FIGURES = ("ours_ms", "torch_ms", "torch_best_ms", "numpy_ms", "limit_ms", "ratio", "ratio_best")
GUESS = 45  # seconds a case takes, before any was timed


def main() -> None:
    options = parse()
    cases = choose(options.only)
    if version("torch") is None:
        print("the baselines need PyTorch: python -m pip install torch==2.13.0", file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows = Rows(options.json, options.isa)
    refused: list[str] = []
    try:
        measure_all(cases, rows, refused, options)
    except KeyboardInterrupt:
        say("interrupted; what was measured before is kept")
        print(table(rows.new))
        sys.exit(130)
    except Refused as error:
        print(f"nothing is timed: {error}", file=sys.stderr)
        sys.exit(1)
    print(table(rows.new))
    for line in remarks(rows.new):
        print(line)
    for line in refused:
        print(f"not timed: {line}")
    sys.exit(1 if refused else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="cases of this name, or that begin so")
    arguments.add(parser, threads=None)
    return arguments.parsed(parser)


def measure_all(cases: list[Case], rows: Rows, refused: list[str], options: argparse.Namespace) -> None:
    """Fill ``rows``, and say why of what was ``refused``."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scratchlv-") as name:
        folder = Path(name)
        run = Run(folder, environments.avx512_library(folder), options.isa, options.threads)
        say("measuring the ceilings of this machine")
        with Ceiling(environment(Way(cases[0].sides[0], INSTALLED), run), folder) as ceiling:
            limits = ceiling.measure()
            for number, case in enumerate(cases):
                left = (len(cases) - number) * ((time.monotonic() - began) / number if number else GUESS)
                say(f"{number + 1} of {len(cases)}: {case.name} (about {clock(left)} left)")
                if number and case.goal.share:  # a virtual machine's memory is as fast as its neighbours let it be
                    limits = ceiling.measure()
                before = ceiling.measure_peak()
                try:
                    row = measure(case, run)
                except Refused as error:
                    refused.append(f"{case.name}: {error}")
                    say(f"  not timed: {error}")
                    continue
                row["peaks_gflops"] = [rounded(peak / 1e9) for peak in (before, ceiling.measure_peak())]
                row["vectors"] = ceiling.width
                if case.goal.share:
                    limits = limits.better(ceiling.measure())
                rows.add(row, case, limits, ceiling.peak)


def choose(names: list[str]) -> list[Case]:
    """The cases of these names; where there is none of a name, those that begin with it."""
    cases = all_cases()
    chosen: dict[str, Case] = {}
    for name in names or cases:
        found = [name] if name in cases else [other for other in cases if other.startswith(name)]
        if not found:
            print(f"there is no case {name!r}; there are {', '.join(cases)}", file=sys.stderr)
            sys.exit(2)
        chosen.update((each, cases[each]) for each in found)
    return list(chosen.values())


# --- one case ----------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """What is the same for all cases."""

    folder: Path  # for passing files
    library: Path | None = None  # that frees MKL
    isa: str | None = None
    threads: list[int] | None = None


class Way(NamedTuple):
    """A side in an environment; ``threads``: None for those of the run."""

    side: Side
    environment: str
    threads: int | None = None

    @property
    def name(self) -> str:
        if self.side.kind != OURS:
            return f"{self.side.kind}: {self.side.name}, {self.environment}"
        return self.side.name + (f", {self.threads} thread{'s' * (self.threads > 1)}" if self.threads else "")


def measure(case: Case, run: Run) -> dict[str, Any]:
    """The row of a case, but for what :func:`judge` adds. A side that fails, or whose results are not ours, is left out.

    Raises:
        Refused: ours failed, or nobody comes to the same results.
    """
    ours, *others = ways_of(case, run)
    differences: dict[Way, float] = {}
    trial: dict[Way, float] = {}
    left_out: dict[Way, str] = {}
    with contextlib.ExitStack() as stack:
        running = {way: stack.enter_context(Worker(case, way, run)) for way in (ours, *others)}
        expected = running[ours].start()
        for way in others:
            with leaving_out(running[way], left_out):
                differences[way] = agreeing(case, way, expected, running[way].start())
        del expected
        for way in (ours, *differences):
            with leaving_out(running[way], left_out):
                trial[way] = statistics.median(running[way].run(TRIAL_SECONDS))
        if all(way.side.kind == OURS for way in trial):
            raise Refused("; ".join(left_out.values()))
        finalists = [way for way in trial if trial[way] <= CLOSE * fastest(trial, way)]
        for way in set(trial) - set(finalists):
            running[way].kill()
        times: dict[Way, list[float]] = {way: [] for way in finalists}
        for block in range(BLOCKS):
            for way in finalists:
                if way.side.kind == NUMPY and block % 3:
                    continue  # slow, and only for the scale
                times[way] += running[way].run(BLOCK_SECONDS)
    slower = {way: time for way, time in trial.items() if way not in times}
    return row(case, run, times, slower, differences, left_out)


def agreeing(case: Case, way: Way, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """The largest difference of a result; of ours with other threads there must be none.

    Raises:
        Refused: it is larger than the case allows, or a result is missing.
    """
    found = difference(case, way, ours, theirs)
    if way.side.kind == OURS and found > 0:
        raise Refused(f"{way.name}: the bits depend on the number of threads, by {found:.1e} of the largest number")
    return found


@contextlib.contextmanager
def leaving_out(worker: Worker, left_out: dict[Way, str]) -> Iterator[None]:
    """Inside, a side that is refused ends, and its reason is kept and said; ours is refused with the whole case."""
    try:
        yield
    except Refused as error:
        if kind_of(worker.way) == OURS:
            raise
        worker.kill()
        left_out[worker.way] = str(error)
        say(f"  left out: {error}")


def ways_of(case: Case, run: Run) -> list[Way]:
    """Every side in every environment that makes a difference to it; ours first."""
    openblas_is_free = not any(name.startswith("OPENBLAS_") for name in os.environ)
    ways = []
    for side in case.sides:
        ways.append(Way(side, INSTALLED))
        frees = {OURS: False, NUMPY: not openblas_is_free and run.isa is None}.get(side.kind, run.library is not None)
        if frees:
            ways.append(Way(side, TUNED))
        if side.kind == OURS and run.threads:
            ways += [Way(side, INSTALLED, threads) for threads in sorted(run.threads)[:-1]]
    return sorted(ways, key=lambda way: kind_of(way) != OURS)


def fastest(times: dict[Way, float], like: Way) -> float:
    """Of the ways that are of the same kind."""
    return min(time for way, time in times.items() if kind_of(way) == kind_of(like))


def kind_of(way: Way) -> str:
    """Ours, NumPy's, and of PyTorch's two: eager as installed, and all that was tuned. Of each the fastest is quoted."""
    if way.threads is not None:
        return way.name
    if way.side.kind in (OURS, NUMPY):
        return way.side.kind
    return INSTALLED if way.side.kind == TORCH and way.environment == INSTALLED else TUNED


class Worker(workers.Worker):
    """A process that takes steps of one side of a case for so many seconds, and answers with their times in ms."""

    def __init__(self, case: Case, way: Way, run: Run) -> None:
        self.way = way
        super().__init__(way.name, [HERE / "worker.py", case.name, way.side.name], environment(way, run), run.folder)


def environment(way: Way, run: Run) -> dict[str, str]:
    """The environment of a worker."""
    variables = environments.variables()
    if way.environment == TUNED:
        variables = environments.freed(variables)
        if way.side.kind != NUMPY:
            variables |= environments.tuned_mkl(run.library)
    threads = way.threads or (max(run.threads) if run.threads else None)
    return variables | environments.held_to(run.isa) | (environments.on_threads(threads) if threads else {})


def limit_ms(case: Case, limits: Ceilings) -> float:
    """What the phases of a case take at the ceilings, one after the other."""
    total = 0.0
    for phase in case.phases:
        bandwidth = limits.bandwidth(phase.working_set, phase.pattern)
        total += max(phase.flops / limits.peak, phase.bytes / bandwidth)
    return 1e3 * total


# --- what is said ------------------------------------------------------------------------------------------------


def row(
    case: Case,
    run: Run,
    times: dict[Way, list[float]],
    slower: dict[Way, float],
    differences: dict[Way, float],
    left_out: dict[Way, str],
) -> dict[str, Any]:
    """The figures of a case, as they are written; None where there is no such side."""
    medians = {way: statistics.median(values) for way, values in times.items()}

    def best(*kinds: str) -> Way | None:
        return min((way for way in medians if kind_of(way) in kinds), key=medians.__getitem__, default=None)

    def figure(way: Way | None, over: float = 1.0) -> float | None:
        return None if way is None else rounded(medians[way] / over)

    ours, eager, torch, numpy = best(OURS), best(INSTALLED), best(INSTALLED, TUNED), best(NUMPY)
    assert ours is not None
    return {
        "case": case.name,
        "what": case.what,
        "isa": run.isa,
        "threads": run.threads and max(run.threads),
        "ours_ms": figure(ours),
        "torch_ms": figure(eager),
        "torch_best_ms": figure(torch),
        "numpy_ms": figure(numpy),
        "ratio": figure(eager, medians[ours]),
        "ratio_best": figure(torch, medians[ours]),
        "efficiency": efficiency(medians, run),
        "goal": {name: value for name, value in vars(case.goal).items() if value is not None},
        "torch": eager and eager.name,
        "torch_best": torch and torch.name,
        "sides": {
            way.name: {
                "median_ms": rounded(medians[way]),
                "p20_ms": rounded(float(np.percentile(values, 20))),
                "p80_ms": rounded(float(np.percentile(values, 80))),
                "steps": len(values),
                "differs_by": differences.get(way, 0.0),
                "environment": environments.recorded(environment(way, run)),
            }
            for way, values in times.items()
        },
        "slower_in_the_trial_ms": {way.name: rounded(time) for way, time in slower.items()},
        "left_out": {way.name: reason for way, reason in left_out.items()},
        "date": datetime.date.today().isoformat(),
        "processor": machine.processor(),
        "cores": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "numba", "torch")},
        },
        "commit": machine.commit(),
    }


def efficiency(medians: dict[Way, float], run: Run) -> float | None:
    """Of the most threads, against the fewest: 1 where twice the threads take half of the time."""
    ours = {way.threads or max(run.threads or [0]): time for way, time in medians.items() if way.side.kind == OURS}
    fewest, most = min(ours), max(ours)
    return rounded(ours[fewest] * fewest / (ours[most] * most)) if fewest < most else None


def judge(row: dict[str, Any], case: Case, limits: Ceilings) -> None:
    """Add what the ceilings say to a row: the limit, its share, what takes less than the limit, and whether the goal is met."""
    limit = limit_ms(case, limits)
    row["limit_ms"], row["share_of_limit"] = rounded(limit), rounded(limit / row["ours_ms"])
    row["exceeds"] = [] if case.winograd else [name for name, side in row["sides"].items() if side["p20_ms"] < limit]
    reached = {"ratio": row["ratio"], "ratio_best": row["ratio_best"], "share": row["share_of_limit"]}
    row["met"] = all((reached[name] or 0.0) >= value for name, value in row["goal"].items())
    row["ceilings"] = limits.to_json()


class Rows:
    """The rows of this run, and those of other cases that the file had; it is written anew with each row."""

    def __init__(self, file: Path | None, isa: str | None = None) -> None:
        self.file = file
        self.new: list[dict[str, Any]] = []
        self.limits: list[tuple[Case, Ceilings]] = []  # of each new row
        self.old: list[dict[str, Any]] = read(file) if file is not None and file.exists() else []
        if any(each.get("isa") != isa for each in self.old):
            print(f"--json {file} has figures of another instruction set; give another file", file=sys.stderr)
            sys.exit(2)

    def add(self, row: dict[str, Any], case: Case, limits: Ceilings, peak: float) -> None:
        """``peak`` is the best of the run so far: all rows are judged by it."""
        self.new.append(row)
        self.limits.append((case, limits))
        for each, (its_case, its_limits) in zip(self.new, self.limits, strict=True):
            judge(each, its_case, its_limits._replace(peak=peak))
        if self.file is None:
            return
        by_name = {each["case"]: each for each in [*self.old, *self.new]}
        ordered = [by_name[name] for name in all_cases() if name in by_name]
        part = self.file.with_name(self.file.name + ".part")
        part.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(self.file)


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a file; what is a case now was a "work" before."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [{"case": row.pop("work"), **row} if "work" in row else row for row in rows]


def table(rows: list[dict[str, Any]]) -> str:
    """One line a case: ms, ratios, and whether the goal is met."""
    head = ("case", "ours", "torch", "at best", "numpy", "limit", "ratio", "at best", "of limit")
    head += ("peak then", "efficiency", "goal")
    lines = [head]
    for r in rows:
        goal = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in r["goal"].items())
        figures = [f"{r[name]:.2f}" if r[name] is not None else "" for name in FIGURES]
        then = "–".join(f"{peak:.0f}" for peak in r.get("peaks_gflops", []))
        shares = (f"{r['share_of_limit']:.0%}", then, f"{r['efficiency']:.0%}" if r["efficiency"] else "")
        lines.append((r["case"], *figures, *shares, f"{goal}: {'met' if r['met'] else 'MISSED'}"))
    return aligned(lines, left=(0, len(head) - 1))


def remarks(rows: list[dict[str, Any]]) -> list[str]:
    """What must not be overlooked."""
    lines = []
    for each in rows:
        lines += [f"left out: {each['case']}: {reason}" for reason in each["left_out"].values()]
        if each["exceeds"]:
            lines.append(f"EXCEEDS THE CEILING, which is too low then: {each['case']}: {', '.join(each['exceeds'])}")
    return lines


if __name__ == "__main__":
    main()
