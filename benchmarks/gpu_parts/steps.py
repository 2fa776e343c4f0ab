"""Steps of whole models: ours on the GPU, and the same in PyTorch, eager and compiled."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any

from case import COMPILED, NUMPY, OURS, TORCH, Case, Side
from cases import sweeps
from comparing import Refused, difference, norm_difference
from table import all_cases, baseline

from gpu_parts.recurrent import Contender, alternate, torch_precision
from scratchlv.bench.gpu import Row
from scratchlv.bench.gpu.timing import free_memory, on_the_device, timing
from scratchlv.bench.text import brief, rounded
from scratchlv.cuda.precision import use_precision

PRECISIONS = ("float32", "tf32")
ROUNDED, ROUNDED_LOSS = 0.1, 1e-2  # of the norm: what TF32 may change; of nearly equal maxima each takes its own
GOALS = {  # the time of the baselines over ours
    ("attention-captioner-tutorial", TORCH): 5,
    ("attention-captioner-hoisted", COMPILED): 2,
}
ON_A_GPU_ALONE = {  # more compiled baselines
    "attention-captioner-hoisted": baseline(
        "hoisted, compiled whole, CUDA graphs",
        "captioner.features",
        "Hoisted",
        False,
        {"mode": "reduce-overhead"},
        kind=COMPILED,
    ),
}


def measure(name: str, seconds: float) -> list[Row]:
    """Ours against eager PyTorch, in float32 and, if there are products in it, TF32."""
    no_products = any(case.name == name for case in sweeps.CASES)
    return _rows(name, TORCH, PRECISIONS[:1] if no_products else PRECISIONS, seconds, limit=None)


def measure_compiled(name: str, seconds: float, limit: float) -> list[Row]:
    """Ours against torch.compile, in TF32 and then in float32; after ``limit`` seconds what is left is left out."""
    return _rows(name, COMPILED, PRECISIONS[::-1], seconds, limit)


def _rows(name: str, kind: str, precisions: Sequence[str], seconds: float, limit: float | None) -> list[Row]:
    case, rows, problems = all_cases()[name], [], []
    until = None if limit is None else time.monotonic() + limit
    for precision in precisions:
        try:
            row, refused = _row(case, kind, precision, seconds, until)
            rows.append(row)
            problems += refused
        except Exception as error:
            problems.append(f"{precision}: {_first_line(error)}")
        free_memory()
    return [*rows, {"case": name, "wrong": problems}] if problems else rows


def _row(case: Case, kind: str, precision: str, seconds: float, until: float | None) -> tuple[Row, list[str]]:
    (ours,) = (side for side in case.sides if side.kind == OURS)
    others = [side for side in case.sides if side.kind == kind]
    if kind == COMPILED and case.name in ON_A_GPU_ALONE:
        others.append(ON_A_GPU_ALONE[case.name])
    with use_precision("float32"):
        expected = ours.build().results() if precision != "float32" else None
    contenders, results = {ours.name: _contender(ours, precision)}, {}
    with use_precision(precision):
        results[ours.name] = contenders[ours.name].results()
    differences, refused = {}, []
    for side in others:
        try:
            with alarm(until), torch_precision(precision):
                contender = _contender(side, precision)
                found = contender.results()
                if expected is None:
                    differences[side.name] = difference(case, side, results[ours.name], found)
                else:
                    differences[side.name] = norm_difference(side.name, found, expected, ROUNDED, ROUNDED_LOSS)
                contenders[side.name] = contender
        except Refused as error:
            refused.append(f"{precision}: {error}")
        except Exception as error:
            refused.append(f"{precision}, {side.name}: {_first_line(error)}")
    if expected is not None:
        most = ROUNDED, ROUNDED_LOSS
        differences[ours.name] = norm_difference(ours.name, results[ours.name], expected, *most)
    with alarm(until):
        samples = alternate(contenders, seconds)
    return _figures(case, kind, precision, contenders, samples, differences, seconds), refused


def _contender(side: Side, precision: str) -> Contender:
    around = use_precision if side.kind in (OURS, NUMPY) else torch_precision
    with around(precision):
        task = side.build()
    return Contender(precision, lambda: around(precision), task.step, task.results)


def _figures(case: Case, kind: str, precision: str, contenders, samples, differences, seconds: float) -> Row:
    times = {name: timing(values) for name, values in samples.items()}
    ours, *others = contenders
    with contenders[ours].around():
        device_time = on_the_device(contenders[ours].step, seconds / 3, cold=False)
    best = min(others, key=lambda name: times[name].median, default=None)
    row: Row = {
        "case": case.name,
        "what": case.what,
        "against": kind,
        "precision": precision,
        "ours_us": rounded(times[ours].median),
        "ours_on_device_us": rounded(device_time.median),
        "best": best,
        "sides": {
            name: {
                "us": rounded(t.median),
                "p20_us": rounded(t.p20),
                "p80_us": rounded(t.p80),
                "samples": t.samples,
                "differs_by": rounded(differences.get(name, 0.0)),
            }
            for name, t in times.items()
        },
    }
    if best is not None:
        row |= {"best_us": rounded(times[best].median), "ratio": rounded(times[best].median / times[ours].median)}
    goal = GOALS.get((case.name, kind))
    return row if goal is None else row | {"goal": goal, "met": row.get("ratio", 0) >= goal}


class TimeIsUp(Exception):
    def __str__(self) -> str:
        return "left out: its time was up"


@contextlib.contextmanager
def alarm(until: float | None) -> Iterator[None]:
    """Inside, :class:`TimeIsUp` is raised at the time ``until``."""
    if until is None:
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TimeIsUp

    if until - time.monotonic() <= 0:
        raise TimeIsUp
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, until - time.monotonic())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


HEAD = ("case", "precision", "ours", "[p20-p80]", "on the device", "baseline", "its time", "ratio", "goal")
LEFT = (0, 1, 5, 8)


def lines(row: Row) -> list[tuple[str, ...]]:
    """One for each baseline."""
    if "wrong" in row:
        return [(row["case"], "WRONG", *[""] * 3, problem, "", "", "") for problem in row["wrong"]]
    ours, *others = row["sides"].items()
    t = ours[1]
    own = brief(t["us"]), f"[{brief(t['p20_us'])}-{brief(t['p80_us'])}]", brief(row["ours_on_device_us"])
    goal = f"{row['goal']:g}: {'met' if row['met'] else 'MISSED'}" if "goal" in row else ""
    return [
        (row["case"], row["precision"], *own, name, brief(other["us"]), f"{other['us'] / t['us']:.2f}", goal)
        for name, other in others
    ] or [(row["case"], row["precision"], *own, "", "", "", goal)]
