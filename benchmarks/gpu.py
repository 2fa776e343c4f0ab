"""Our kernels and models on a GPU, against what it can do and against PyTorch.

    python benchmarks/gpu.py [--only NAME…] [--json FILE] [--seconds N] [--minutes N]

In this order: ceilings measured in the same run (bandwidth, products, launches, grid synchronisation); what there is a goal
for (the LSTM layer against nn.LSTM, the captioner with attention against PyTorch, eager and compiled, and their kernels);
every version of every other room's kernels; steps of other models against PyTorch, eager and, last, compiled. What is wrong
is not timed. All is said as it is found, and ends with a table. A part that fails is told and the others go on, in a new
process where it had to be: after a kernel that reads where it may not, no other runs in the same one, and a part that hangs
is ended.
The exit status is 1 if any part failed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from comparing import clock, version  # noqa: E402

from scratchlv.bench.text import aligned, brief  # noqa: E402
from scratchlv.training.checkpoint import write_json_atomically as write  # noqa: E402

PART_SECONDS = 75  # the longest that a part may take
COMPILE_SECONDS = 60  # all that is compiled by PyTorch, together
FRESH_PROCESS = 3  # exit status of a worker whose GPU does not answer any more
LAYER_GOALS = {"float32": 190, "tf32": 110}  # microseconds of the LSTM layer's step, on an H100
GOALS_FIRST = (
    "recurrent",
    "kernel:additive_attention",
    "kernel:attention_lstm",
    "kernel:lstm",
    "step:attention-captioner-hoisted",
    "compiled:attention-captioner-hoisted",
)
Document = dict[str, Any]


def main() -> None:
    a = parse()
    if a.worker:
        sys.exit(run_parts(a.json, a.parts, a.seconds))
    problem = unusable()
    if problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
    file = a.json or Path(f"/tmp/scratchlv-gpu-{os.getpid()}.json")
    write(file, {"parts": {}, "failed": {}})
    parts = choose(a.only)
    command = [sys.executable, str(HERE / "gpu.py"), "--worker", "--json", str(file), "--seconds", str(a.seconds)]
    try:
        supervise(command, parts, file, 60 * a.minutes)
    except KeyboardInterrupt:
        print("interrupted; what was measured before is kept")
    document = read(file)
    if a.json is None:
        file.unlink()
    print(summary(document))
    sys.exit(1 if document["failed"] or missing(document, parts) else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="parts, rooms or cases that begin so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--seconds", type=float, default=0.25, metavar="N", help="for one timing (0.25)")
    parser.add_argument("--minutes", type=float, default=6.5, metavar="N", help="for all (6.5)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def unusable() -> str | None:
    """Why nothing can be measured here, or None."""
    from scratchlv.cuda.availability import what_is_wrong

    if version("torch") is None:
        return "the baselines need PyTorch: python -m pip install torch"
    problem = what_is_wrong()
    return f"there is no GPU to measure: {problem}" if problem else None


def choose(names: list[str]) -> list[str]:
    """The parts, in their order; those whose name, or the name of whose room or case, begins with one of ``names``.

    The header and the ceilings always come first.
    """
    parts = all_parts()
    unknown = [name for name in names if not any(_is_meant(part, name) for part in parts)]
    if unknown:
        print(f"there is no part {unknown[0]!r}; there are {', '.join(parts)}", file=sys.stderr)
        sys.exit(2)
    first = [part for part in parts if part == "header" or part.startswith("ceiling:")]
    return first + [
        part for part in parts if part not in first and (not names or any(_is_meant(part, n) for n in names))
    ]


def _is_meant(part: str, name: str) -> bool:
    return part.startswith(name) or part.partition(":")[2].startswith(name)


def all_parts() -> list[str]:
    from case import COMPILED
    from table import all_cases

    from scratchlv import ops

    rooms = [name for name in ops.OPERATIONS if "cuda" in getattr(ops, name).room.VARIANTS]
    on_the_cpu_alone = ("-bfloat16", "-int8")  # weights in fewer bits
    cases = {name: case for name, case in all_cases().items() if not name.endswith(on_the_cpu_alone)}
    compiled = [name for name, case in cases.items() if any(side.kind == COMPILED for side in case.sides)]
    kinds = (("kernel", rooms), ("step", list(cases)), ("compiled", compiled))
    kernels, steps, last = ([f"{kind}:{name}" for name in names] for kind, names in kinds)
    ceilings = [f"ceiling:{name}" for name in ("bandwidths", "products", "launches", "grid_syncs")]
    others = [part for part in (*kernels, *steps, *last) if part not in GOALS_FIRST]
    return ["header", *ceilings, *GOALS_FIRST, *others]


# --- the parent ------------------------------------------------------------------------------------------------------


def supervise(
    command: list[str], parts: list[str], file: Path, seconds: float, part_seconds: float = PART_SECONDS
) -> None:
    """Have ``command`` do the parts, and start it anew where it ends or hangs before it has done them all."""
    end = time.monotonic() + seconds
    while left := missing(read(file), parts):
        if time.monotonic() > end:
            fail(file, left, "left out: the time was up")
            return
        process = subprocess.Popen([*command, *left])
        try:
            status = watch(process, file, end, part_seconds)
        finally:
            process.kill()
            process.wait()
        still = missing(read(file), parts)
        if still and status is None and time.monotonic() < end:
            fail(file, still[:1], f"it hung: nothing for {part_seconds:g} s")
        elif still == left:
            fail(file, still[:1], f"its process ended with status {status}")


def watch(process: subprocess.Popen, file: Path, end: float, part_seconds: float) -> int | None:
    """The exit status; None if it is to be ended: no part was done for too long, or the whole time is up."""
    done, since = len(read(file)["parts"]), time.monotonic()
    while process.poll() is None:
        time.sleep(0.1)
        document = read(file)
        now = len(document["parts"]) + len(document["failed"])
        if now != done:
            done, since = now, time.monotonic()
        if time.monotonic() > end or time.monotonic() - since > part_seconds:
            return None
    return process.returncode


def missing(document: Document, parts: list[str]) -> list[str]:
    return [part for part in parts if part not in document["parts"] and part not in document["failed"]]


def fail(file: Path, parts: list[str], words: str) -> None:
    document = read(file)
    for part in parts:
        document["failed"][part] = words
    print(f"{', '.join(parts)}: {words}", flush=True)
    write(file, document)


def read(file: Path) -> Document:
    return json.loads(file.read_text(encoding="utf-8"))


# --- the worker ------------------------------------------------------------------------------------------------------


def run_parts(file: Path, parts: list[str], seconds: float) -> int:
    """Do the parts one after another, and write each; the exit status."""
    import baselines

    from scratchlv.device import use_backend

    use_backend("cuda")
    baselines.use_device("cuda")
    for part in parts:
        document, began = read(file), time.monotonic()
        try:
            found = do(part, document, seconds)
            document["parts"][part] = found
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            words = (str(error).strip().splitlines() or [""])[0][:300]
            document["failed"][part] = f"{type(error).__name__}: {words} ({Path(frame.filename).name}:{frame.lineno})"
            document["parts"][part] = getattr(error, "rows", {} if part.startswith("ceiling:") else [])
            print(f"{part} FAILED: {document['failed'][part]}", flush=True)
        document.setdefault("seconds", {})[part] = round(time.monotonic() - began, 1)
        wrong = [words for row in _rows(document["parts"][part]) for words in _list(row.get("wrong"))]
        if wrong and part not in document["failed"]:
            document["failed"][part] = "; ".join(wrong)
        write(file, document)
        if not answers():
            return FRESH_PROCESS
    return 0


def _rows(found: Any) -> list[dict]:
    return found if isinstance(found, list) else []


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []


def do(part: str, document: Document, seconds: float) -> Any:
    """What a part finds; it is printed too."""
    kind, _, name = part.partition(":")
    if kind == "header":
        found = header()
        say("\n".join(f"{key}: {value}" for key, value in found.items()))
        return found
    if kind == "ceiling":
        from scratchlv.bench.gpu import ceilings

        found = {key: float(f"{value:.4g}") for key, value in ceilings.MEASURES[name](seconds).items()}
        say("\n".join(f"{key}: {value:g}" for key, value in found.items()))
        return found
    if kind == "kernel":
        from scratchlv.bench.gpu import kernels

        rows = _telling(lambda: kernels.measure(name, ceilings_of(document), seconds), kernels)
        _free()
        return rows
    if kind == "recurrent":
        from gpu_parts import recurrent

        return _telling(lambda: recurrent.measure(seconds), recurrent)
    from gpu_parts import steps

    if kind == "step":
        return _telling(lambda: steps.measure(name, seconds), steps)
    spent = sum(took for other, took in document.get("seconds", {}).items() if other.startswith("compiled:"))
    return _telling(lambda: steps.measure_compiled(name, seconds, COMPILE_SECONDS - spent), steps)


def ceilings_of(document: Document) -> dict[str, float]:
    """All that were measured."""
    found: dict[str, float] = {}
    for part, values in document["parts"].items():
        if part.startswith("ceiling:"):
            found.update(values)
    return found


def _telling(measure: Callable[[], list], module: Any) -> list:
    """The rows, printed; also those that came before a failure."""
    try:
        rows = measure()
    except Exception as error:
        _print_rows(getattr(error, "rows", []), module)
        raise
    _print_rows(rows, module)
    return rows


def _print_rows(rows: list, module: Any) -> None:
    if rows:
        say(aligned([module.HEAD, *lines_of(rows, module)], module.LEFT))


def lines_of(rows: list, module: Any) -> list[tuple[str, ...]]:
    if hasattr(module, "lines"):
        return [line for row in rows for line in module.lines(row)]
    return [module.line(row) for row in rows]


def _free() -> None:
    from scratchlv.bench.gpu.timing import free_memory

    free_memory()


def answers() -> bool:
    """Whether the GPU can go on in this process."""
    import cupy

    try:
        cupy.cuda.Device().synchronize()
    except Exception:
        return False
    return True


def header() -> dict[str, Any]:
    import cupy
    import torch

    from scratchlv.bench import machine
    from scratchlv.cuda.availability import describe

    return {
        "gpu": describe(),
        "clocks": nvidia_smi(),
        "cuda": f"runtime {cupy.cuda.runtime.runtimeGetVersion()}, PyTorch's {torch.version.cuda}",
        "cudnn": torch.backends.cudnn.version(),
        **{name: version(name) for name in ("numpy", "torch", "triton")},
        "cupy": cupy.__version__,
        "python": sys.version.split()[0],
        "processor": f"{machine.processor()}, {os.cpu_count()} cores",
        "commit": machine.commit() or os.environ.get("SCRATCHLV_COMMIT"),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def nvidia_smi() -> str | None:
    """Driver, clocks, power and temperature, if it tells."""
    asked = (
        "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.draw,power.limit,temperature.gpu"
    )
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={asked}", "--format=csv"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return f"{lines[1]} ({lines[0]})" if len(lines) > 1 else None


def say(words: str) -> None:
    print(words + "\n", flush=True)


# --- the table -------------------------------------------------------------------------------------------------------


def summary(document: Document) -> str:
    """What was measured, in one table for kernels and one for cases."""
    return "\n\n".join(text for text in (kernels_table(document), cases_table(document), failures(document)) if text)


def kernels_table(document: Document) -> str:
    """The last float32 version of each room, and the fastest of the others."""
    lines = []
    for part, rows in document["parts"].items():
        if not part.startswith("kernel:"):
            continue
        good = [row for row in rows if "wrong" not in row]
        for name in dict.fromkeys((row["pass"], row["precision"]) for row in good):
            found = [row for row in good if (row["pass"], row["precision"]) == name]
            last = max(found, key=lambda row: row["version"])
            goal = (
                ""
                if "goal" not in last
                else f"{last['goal']:.0%}: {'met' if last['share'] >= last['goal'] else 'MISSED'}"
            )
            which = f"{last['version']} {last['words']}" + ("" if name[1] == "float32" else f", {name[1]}")
            own = min(found, key=lambda row: (row["words"] == "cuBLAS", row["us"]))  # our fastest
            other = "" if own is last else f"version {own['version']}: {brief(own['us'])}"
            speeds = brief(last["gbs"]), brief(last["gflops"]), f"{last['share']:.0%}"
            lines.append((last["room"], name[0], which, brief(last["us"]), *speeds, goal, other))
    head = ("room", "pass", "version", "us", "GB/s", "GFLOP/s", "of ceiling", "goal", "if another is our fastest")
    return aligned([head, *lines], left=(0, 1, 2, 7, 8)) if lines else ""


def cases_table(document: Document) -> str:
    head = ("case", "ours, us", "best baseline", "us", "ratio", "goal", "met")
    lines = layer_lines(document["parts"].get("recurrent") or [])
    for part, rows in document["parts"].items():
        if part.startswith(("step:", "compiled:")):
            lines += [case_line(row) for row in rows if row.get("best")]
    return aligned([head, *lines], left=(0, 2, 5, 6)) if lines else ""


def layer_lines(rows: list[dict]) -> list[tuple[str, ...]]:
    """Our fastest LSTM layer in each precision against nn.LSTM in the same."""
    good, lines = [row for row in rows if "side" in row], []
    for precision in LAYER_GOALS:
        ours = [row for row in good if row["side"].startswith("ours") and row["precision"] == precision]
        theirs = [row for row in good if row["side"] == f"nn.LSTM, {precision}"]
        if ours and theirs:
            mine, baseline = min(ours, key=lambda row: row["us"]), theirs[0]
            met = mine["us"] < baseline["us"] and mine["us"] <= LAYER_GOALS[precision]
            figures = brief(mine["us"]), baseline["side"], brief(baseline["us"]), f"{baseline['us'] / mine['us']:.2f}"
            lines.append(
                (
                    f"LSTM layer: {mine['side']}",
                    *figures,
                    f"> 1, and {LAYER_GOALS[precision]} us",
                    "met" if met else "MISSED",
                )
            )
    return lines


def case_line(row: dict) -> tuple[str, ...]:
    goal = (f"{row['goal']:g}", "met" if row["met"] else "MISSED") if "goal" in row else ("", "")
    best = f"{row['best']} ({'compiled' if 'compile' in row['against'] else 'eager'})"
    name = f"{row['case']}, {row['precision']}"
    return name, brief(row["ours_us"]), best, brief(row["best_us"]), f"{row['ratio']:.2f}", *goal


def failures(document: Document) -> str:
    lines = [f"{part}: {words}" for part, words in document["failed"].items()]
    took = sum(document.get("seconds", {}).values())
    return "\n".join([*lines, f"{clock(took)} in all"])


if __name__ == "__main__":
    main()
