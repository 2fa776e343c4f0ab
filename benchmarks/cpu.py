"""Our models and kernels on the CPU against PyTorch, and against textbook NumPy.

    python benchmarks/cpu.py [--only NAME…] [--json FILE]

Each side of a case runs in a process of its own. All take one step from the same parameters first. A side whose losses or
gradients are not ours is left out, and the others are timed; where it is textbook NumPy, or all that PyTorch does as installed,
the case is not timed at all. Then every side is tried for a moment, and the fastest of each kind are timed in alternating blocks
(A B C A B C …); those whose turn it is not are stopped, so that nobody's waiting threads disturb another. A figure is the median
of all steps, with its 20% and 80% quantiles.

PyTorch runs as installed, and tuned: MKL free to take its AVX-512 kernels on processors of any maker (a preloaded library
tells it that this one is Intel's; that needs gcc), and glibc told to keep the memory that is freed. NumPy runs as installed,
and with OpenBLAS free to choose its kernels where the environment forbids it. The fastest counts: `torch_ms` is PyTorch eager
as installed, `torch_best_ms` whatever was fastest.
`limit_ms` is what the arithmetic and the traffic of memory that no implementation can do without would take at this machine's
ceilings, measured in the same run. A JSON file that is there already keeps its rows of other cases.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import multiprocessing
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from case import NUMPY, OURS, TORCH, Case, Side  # noqa: E402
from comparing import Refused, clock, difference, say, version  # noqa: E402
from table import all_cases  # noqa: E402

from scratchlv.bench import ceilings, machine  # noqa: E402
from scratchlv.bench.ceilings import Ceilings  # noqa: E402
from scratchlv.bench.text import aligned, rounded  # noqa: E402

INSTALLED, TUNED = "as installed", "tuned"
#: glibc keeps what is freed, as our pool does: new pages cost much
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
TRIAL_SECONDS, BLOCK_SECONDS, BLOCKS = 0.4, 0.6, 5
CLOSE = 1.1  # whoever is so near to the fastest of its kind in the trial is timed as well
GUESS = 45  # seconds a case takes, before any was timed
RECORDED = ("OPENBLAS_", "MKL_", "OMP_", "NUMBA_", "GOMP_", "MALLOC_", "LD_PRELOAD", "SCRATCHLV_")


def main() -> None:
    arguments = parse()
    cases = choose(arguments.only)
    if version("torch") is None:
        print("the baselines need PyTorch: python -m pip install torch==2.13.0", file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows = Rows(arguments.json)
    refused = []
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="scratchlv-") as folder:
            library = avx512_library(Path(folder))
            say("measuring the ceilings of this machine")
            limits = measure_ceilings()
            for number, case in enumerate(cases):
                left = (len(cases) - number) * ((time.monotonic() - began) / number if number else GUESS)
                say(f"{number + 1} of {len(cases)}: {case.name} (about {clock(left)} left)")
                if number and case.goal.share:  # a virtual machine's memory is as fast as its neighbours let it be
                    limits = measure_ceilings()
                try:
                    rows.add(measure(case, limits, library, Path(folder)))
                except Refused as error:
                    refused.append(f"{case.name}: {error}")
                    say(f"  not timed: {error}")
    except KeyboardInterrupt:
        say("interrupted; what was measured before is kept")
        print(table(rows.new))
        sys.exit(130)
    print(table(rows.new))
    for each in rows.new:
        for reason in each["left_out"].values():
            print(f"left out: {each['case']}: {reason}")
    for line in refused:
        print(f"not timed: {line}")
    sys.exit(1 if refused else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="cases of this name, or that begin so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    return parser.parse_args()


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


class Way(NamedTuple):
    """A side in an environment."""

    side: Side
    environment: str

    @property
    def name(self) -> str:
        return f"{self.side.kind}: {self.side.name}, {self.environment}" if self.side.kind != OURS else self.side.name


def measure(case: Case, limits: Ceilings, library: Path | None, folder: Path) -> dict[str, Any]:
    """The row of a case. A side that fails, or whose results are not ours, is left out.

    Raises:
        Refused: ours failed or is not what the reference variants compute, or PyTorch as installed is not left.
    """
    ours, *others = ways_of(case, library)
    differences: dict[Way, float] = {}
    trial: dict[Way, float] = {}
    left_out: dict[Way, str] = {}
    with contextlib.ExitStack() as stack:
        workers = {way: stack.enter_context(Worker(case, way, library, folder)) for way in (ours, *others)}
        expected = workers[ours].start()
        for way in others:
            with leaving_out(workers[way], left_out):
                differences[way] = difference(case, way, expected, workers[way].start())
        del expected
        for way in (ours, *differences):
            with leaving_out(workers[way], left_out):
                trial[way] = statistics.median(workers[way].run(TRIAL_SECONDS))
        if not all(any(kind_of(way) == kind for way in trial) for kind in (NUMPY, INSTALLED)):
            raise Refused("; ".join(left_out.values()))
        finalists = [way for way in trial if trial[way] <= CLOSE * fastest(trial, way)]
        for way in set(trial) - set(finalists):
            workers[way].kill()
        times: dict[Way, list[float]] = {way: [] for way in finalists}
        for block in range(BLOCKS):
            for way in finalists:
                if way.side.kind == NUMPY and block % 3:
                    continue  # slow, and only for the scale
                times[way] += workers[way].run(BLOCK_SECONDS)
    slower = {way: time for way, time in trial.items() if way not in times}
    return row(case, limits, times, slower, differences, left_out)


@contextlib.contextmanager
def leaving_out(worker: Worker, left_out: dict[Way, str]) -> Iterator[None]:
    """Inside, a side that is refused ends, and its reason is kept and said; ours is refused with the whole case."""
    try:
        yield
    except Refused as error:
        if worker.way.side.kind == OURS:
            raise
        worker.kill()
        left_out[worker.way] = str(error)
        say(f"  left out: {error}")


def ways_of(case: Case, library: Path | None) -> list[Way]:
    """Every side in every environment that makes a difference to it; ours first."""
    openblas_is_free = not any(name.startswith("OPENBLAS_") for name in os.environ)
    ways = []
    for side in case.sides:
        ways.append(Way(side, INSTALLED))
        frees = {OURS: False, NUMPY: not openblas_is_free}.get(side.kind, library is not None)
        if frees:
            ways.append(Way(side, TUNED))
    return sorted(ways, key=lambda way: way.side.kind != OURS)


def fastest(times: dict[Way, float], like: Way) -> float:
    """Of the ways that are of the same kind."""
    return min(time for way, time in times.items() if kind_of(way) == kind_of(like))


def kind_of(way: Way) -> str:
    """Ours, NumPy's, and of PyTorch's two: eager as installed, and all that was tuned. Of each the fastest is quoted."""
    if way.side.kind in (OURS, NUMPY):
        return way.side.kind
    return INSTALLED if way.side.kind == TORCH and way.environment == INSTALLED else TUNED


class Worker:
    """A process that does one side of a case when it is told to, and stands still else."""

    def __init__(self, case: Case, way: Way, library: Path | None, folder: Path) -> None:
        self.way = way
        self.results = Path(tempfile.mkstemp(".npz", dir=folder)[1])
        self.errors: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by kill
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), case.name, way.side.name, str(self.results)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment(way, library),
            start_new_session=True,  # Ctrl-C is for us
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> dict[str, np.ndarray]:
        """Wait until it is ready; the results of its first step."""
        if self._answer() != "ready\n":
            raise Refused(f"{self.way.name} failed: {self._last_words()}")
        with np.load(self.results) as file:
            results = {name: file[name] for name in file.files}
        self.results.unlink()
        self.stop()
        return results

    def run(self, seconds: float) -> list[float]:
        """Times in ms of steps that take about so long."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        answer = self._answer()
        self.stop()
        if not answer:
            raise Refused(f"{self.way.name} failed: {self._last_words()}")
        return json.loads(answer)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def _last_words(self) -> str:
        self.process.wait(timeout=10)
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with status {self.process.returncode}"


# --- environments ------------------------------------------------------------------------------------------------


def environment(way: Way, library: Path | None) -> dict[str, str]:
    """The environment of a worker."""
    variables = dict(os.environ)
    if way.environment == TUNED:
        for name in [name for name in variables if name.startswith("OPENBLAS_")]:
            del variables[name]
        if way.side.kind != NUMPY and library is not None:
            variables |= {"LD_PRELOAD": str(library), **KEEP_MEMORY}
    return variables


def avx512_library(folder: Path) -> Path | None:
    """MKL takes AVX2 kernels on processors that are not Intel's, unless this function says otherwise."""
    source, library = folder / "intel.c", folder / "intel.so"
    source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        say("no gcc: PyTorch is timed as installed only")
        return None
    return library


def measure_ceilings() -> Ceilings:
    """In a process of its own, as everything that is timed."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(ceilings.measure).result()


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
    limits: Ceilings,
    times: dict[Way, list[float]],
    slower: dict[Way, float],
    differences: dict[Way, float],
    left_out: dict[Way, str],
) -> dict[str, Any]:
    """The figures of a case, as they are written."""
    medians = {way: statistics.median(values) for way, values in times.items()}
    ours = next(way for way in medians if way.side.kind == OURS)
    eager = min((way for way in medians if kind_of(way) == INSTALLED), key=medians.__getitem__)
    best = min((way for way in medians if kind_of(way) in (INSTALLED, TUNED)), key=medians.__getitem__)
    numpy = min((way for way in medians if kind_of(way) == NUMPY), key=medians.__getitem__)
    ratio, ratio_best = medians[eager] / medians[ours], medians[best] / medians[ours]
    limit = limit_ms(case, limits)
    reached = {"ratio": ratio, "ratio_best": ratio_best, "share": limit / medians[ours]}
    goals = {name: value for name, value in vars(case.goal).items() if value is not None}
    return {
        "case": case.name,
        "what": case.what,
        "ours_ms": rounded(medians[ours]),
        "torch_ms": rounded(medians[eager]),
        "torch_best_ms": rounded(medians[best]),
        "numpy_ms": rounded(medians[numpy]),
        "ratio": rounded(ratio),
        "ratio_best": rounded(ratio_best),
        "limit_ms": rounded(limit),
        "share_of_limit": rounded(limit / medians[ours]),
        "goal": goals,
        "met": all(reached[name] >= value for name, value in goals.items()),
        "torch": eager.name,
        "torch_best": best.name,
        "sides": {
            way.name: {
                "median_ms": rounded(medians[way]),
                "p20_ms": rounded(float(np.percentile(values, 20))),
                "p80_ms": rounded(float(np.percentile(values, 80))),
                "steps": len(values),
                "differs_by": differences.get(way, 0.0),
                "environment": recorded(way),
            }
            for way, values in times.items()
        },
        "slower_in_the_trial_ms": {way.name: rounded(time) for way, time in slower.items()},
        "left_out": {way.name: reason for way, reason in left_out.items()},
        "ceilings": limits.to_json(),
        "date": datetime.date.today().isoformat(),
        "processor": machine.processor(),
        "cores": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "numba", "torch")},
        },
        "commit": machine.commit(),
    }


class Rows:
    """The rows of this run, and those of other cases that the file had; it is written anew with each row."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.new: list[dict[str, Any]] = []
        self.old: list[dict[str, Any]] = read(file) if file is not None and file.exists() else []

    def add(self, row: dict[str, Any]) -> None:
        self.new.append(row)
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
    head = ("case", "ours", "torch", "at best", "numpy", "limit", "ratio", "at best", "of limit", "goal")
    lines = [head]
    for r in rows:
        goal = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in r["goal"].items())
        times = [f"{r[name]:.2f}" for name in ("ours_ms", "torch_ms", "torch_best_ms", "numpy_ms", "limit_ms")]
        ratios = [f"{r['ratio']:.2f}", f"{r['ratio_best']:.2f}", f"{r['share_of_limit']:.0%}"]
        lines.append((r["case"], *times, *ratios, f"{goal}: {'met' if r['met'] else 'MISSED'}"))
    return aligned(lines, left=(0, len(head) - 1))


def recorded(way: Way) -> dict[str, str]:
    """The variables that decide which kernels run, and on how many threads."""
    found = {name: value for name, value in environment(way, None).items() if name.startswith(RECORDED)}
    if way.environment == TUNED and way.side.kind != NUMPY:
        found["LD_PRELOAD"] = "mkl_serv_intel_cpu_true"
    return found


if __name__ == "__main__":
    main()
