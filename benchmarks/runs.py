"""Whole runs: training as a user starts it, data, clipping, optimiser, log and checkpoint included, against PyTorch.

    python benchmarks/runs.py [--only NAME…] [--ptb DIR] [--multi30k SOURCE,TARGET] [--seconds S] [--turns N]
                              [--threads N] [--isa avx2|sse] [--json FILE]

caption     the captioner of `scratchlv demo` on Scenes: batches of 32 pictures of 64×64 (quick preset)
lm          a language model of two LSTM layers of 200 on the Penn Treebank (quick preset)
translate   additive attention, 256 wide, on Multi30k, 64 pairs a batch (quick preset)

Without a path, lm and translate read a generated text with as many words, sentences and different words, by Zipf's law. Each
side is a process of its own, with the same data in memory, and the same parameters at first; losses and gradients of the first
batch, without dropout, must agree. PyTorch: nn.LSTM and nn.LSTMCell with all products taken out of the loop that can be, a
DataLoader with 0 workers and with 1, or slices of one tensor for lm, fused Adam, MKL and glibc at their best. Then all train in
turns, from the beginning: one epoch each, or as many steps as ours takes in ``--seconds``; an epoch is reckoned from that.
Validation, and the making of the data before the first step, are left out. "Outside" is the share of the time that is neither
the model's forward and backward pass nor clipping and optimiser: batches, log, checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import pickle
import platform
import signal
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import arguments  # noqa: E402
import environments  # noqa: E402
from comparing import Refused, say, version  # noqa: E402
from running import OURS, SIDES, Problem  # noqa: E402
from training_problems import PROBLEMS  # noqa: E402
from workers import Worker  # noqa: E402

from scratchlv.bench import machine  # noqa: E402
from scratchlv.bench.text import aligned, rounded  # noqa: E402
from scratchlv.errors import UserError  # noqa: E402

TOLERANCE = 1e-3  # of a gradient, relative to its largest number
TOLERANCES = {"caption": 1e-2}  # of nearly equal maxima each side takes its own, and batch norms divide
WARM_STEPS = 20
GOAL = 0.03  # the share outside, at most


def main() -> None:
    options = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    status = 0
    try:
        with tempfile.TemporaryDirectory(prefix="scratchlv-") as folder:
            for name in options.only or PROBLEMS:
                try:
                    rows.append(measure(name, options, Path(folder)))
                except Refused as error:
                    failed.append(f"not timed: {name}: {error}")
                write(rows, options.json)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        say("interrupted; what was measured before is kept")
        status = 130
    print(table(rows))
    for line in [line for each in rows for line in each["left_out"].values()] + failed:
        print(line)
    sys.exit(status or (1 if failed else 0))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PROBLEMS, metavar="NAME", help=", ".join(PROBLEMS))
    parser.add_argument(
        "--ptb", metavar="DIR", help="the Penn Treebank: the folder with ptb.train.txt and ptb.valid.txt"
    )
    parser.add_argument("--multi30k", metavar="SOURCE,TARGET", help="two files, aligned by line")
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="a part of an epoch, so long for ours (default: all of it)"
    )
    parser.add_argument("--turns", type=int, default=1, metavar="N", help="how often each side trains (default: 1)")
    arguments.add(parser, threads=None)
    return arguments.parsed(parser)


# --- one run ---------------------------------------------------------------------------------------------------------


def measure(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The row of a run.

    Raises:
        Refused: ours failed, or nobody agrees with it.
        UserError: a file is missing or wrong.
    """
    say(f"{name}: making the data ready")
    problem = PROBLEMS[name](folder, options)
    file = folder / f"{name}.pickle"
    file.write_bytes(pickle.dumps(problem))
    variables = environments.variables(options.isa, max(options.threads or [0]))
    tuned = variables | environments.tuned_mkl(environments.avx512_library(folder))
    left_out: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        workers = {
            side: stack.enter_context(
                Worker(side, [HERE / "running.py", file, side], variables if side == OURS else tuned, folder)
            )
            for side in SIDES[name]
        }
        expected = workers[OURS].start()
        for side in [side for side in workers if side != OURS]:
            try:
                agree(side, expected, workers[side].start(), TOLERANCES.get(name, TOLERANCE))
                workers[side].run(WARM_STEPS)
            except Refused as error:
                left_out[side] = f"left out: {name}: {error}"
                say(left_out[side])
                workers.pop(side).kill()
        workers[OURS].run(WARM_STEPS)
        if len(workers) == 1:
            raise Refused("; ".join(left_out.values()) or "it has no other side")
        steps = how_many(problem, workers[OURS], options.seconds)
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in workers}
        for turn in range(options.turns):
            for side, worker in workers.items():
                say(f"{name}: turn {turn + 1} of {options.turns}, {steps:,} of {problem.epoch:,} steps: {side}")
                found[side].append(worker.run(steps))
    environment = {side: environments.recorded(variables if side == OURS else tuned) for side in found}
    return row(problem, steps, found, environment, left_out) | {"isa": options.isa, "threads": options.threads}


def agree(side: str, ours: dict[str, Any], theirs: dict[str, Any], most: float = TOLERANCE) -> None:
    """Raises Refused where the loss or a gradient of the first batch is another."""
    from comparing import pairs

    for name, value, other in pairs(side, ours, theirs):
        apart = float(abs(value - other).max() / max(abs(other).max(), 1e-30))
        if not apart <= most:
            raise Refused(f"{side}: {name} differs from ours by {apart:.1e} of its largest number")


def how_many(problem: Problem, ours: Worker, seconds: float | None) -> int:
    """Steps of an epoch, or those that take about so many seconds."""
    if seconds is None:
        return problem.epoch
    trial = ours.run(3 * WARM_STEPS)
    return max(1, min(problem.epoch, round(seconds * trial["steps"] / trial["seconds"])))


def row(
    problem: Problem,
    steps: int,
    found: dict[str, list[dict[str, Any]]],
    environment: dict[str, dict[str, str]],
    left_out: dict[str, str],
) -> dict[str, Any]:
    """The figures, as they are written; of several turns the median."""
    sides = {}
    for side, turns in found.items():
        shares = {part: statistics.median(t["parts"][part] / t["seconds"] for t in turns) for part in turns[0]["parts"]}
        seconds = [turn["seconds"] for turn in turns]
        sides[side] = {
            "items_per_second": rounded(statistics.median(turn["items"] / turn["seconds"] for turn in turns)),
            "seconds": [rounded(each) for each in seconds],
            "epoch_seconds": rounded(statistics.median(seconds) * problem.epoch / steps),
            "shares": {part: rounded(share) for part, share in shares.items()},
            "outside": rounded(1 - shares["model"] - shares["update"]),
            "loss": rounded(turns[-1]["loss"]),
            "environment": environment[side],
        }
    best = max((side for side in sides if side != OURS), key=lambda side: sides[side]["items_per_second"])
    return {
        "run": problem.name,
        "what": problem.what,
        "items": problem.items,
        "steps": steps,
        "epoch": problem.epoch,
        "sides": sides,
        "best": best,
        "ratio": rounded(sides[OURS]["items_per_second"] / sides[best]["items_per_second"]),
        "goal": GOAL,
        "met": sides[OURS]["outside"] <= GOAL,
        "left_out": left_out,
        "date": datetime.date.today().isoformat(),
        "processor": machine.processor(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("numpy", "numba", "torch")}},
        "commit": machine.commit(),
    }  # fmt: skip


def write(rows: list[dict[str, Any]], file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """One line a side."""
    lines = [("run", "side", "items/s", "an epoch, s", "model", "clip, optimiser", "outside", "loss", "")]
    for each in rows:
        for side, figures in each["sides"].items():
            shares = (f"{figures['shares'][part]:.1%}" for part in ("model", "update"))
            goal = f"goal {each['goal']:.0%}: {'met' if each['met'] else 'MISSED'}" if side == OURS else ""
            verdict = f"ours is {each['ratio']:.2f} times as fast" if side == each["best"] else goal
            speed = (f"{figures['items_per_second']:,.0f} {each['items']}", f"{figures['epoch_seconds']:.0f}")
            outside = (f"{figures['outside']:.1%}", f"{figures['loss']:.3f}")
            lines.append((each["run"], side, *speed, *shares, *outside, verdict))
    return aligned(lines, left=(0, 1, len(lines[0]) - 1))


if __name__ == "__main__":
    main()
