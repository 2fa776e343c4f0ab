"""How well does the gradient checker name and place what learners get wrong?

    python tests/gradcheck/planted/run.py                          every bug, with and without remake; then the right cases
    python tests/gradcheck/planted/run.py --only lstm "= for +="   bugs whose operation, name or kind has one of these words in it
    python tests/gradcheck/planted/run.py --no-remake --style class --json found.json
    python tests/gradcheck/planted/run.py --right                  the right cases alone
    python tests/gradcheck/planted/run.py --verify                 no checker: are the bugs wrong, the operations right?

A bug is caught if the report is not ok. Its name is right if the first sentence of the diagnosis (all problems, where there is no
diagnosis) speaks of its kind: "named first"; else "named later", "misnamed" (it speaks of another kind) or "vague". Its line is
found if the report speaks of a line that the edit changed. Each check has a process of its own, and a limit.

Exit status: 0 all bugs are caught and no right case is accused, 1 not so, 2 the suite itself is wrong.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np

if __package__:
    from . import cases, kinds, plant
else:
    from planted import cases, kinds, plant

from scratchlv.gradcheck import check
from scratchlv.gradcheck.report import Report

LIMIT = 60  # seconds for one check


# --- one check -------------------------------------------------------------------------------------------------------


def examine(bug: plant.Bug, remake: bool) -> dict[str, Any]:
    """What the checker says of an operation with this bug in it."""
    with plant.imported(bug.operation, plant.planted(bug)) as module:
        more = {"remake": module.make_inputs, "sizes": module.SIZES} if remake else {}
        report = check(module.forward, module.backward, module.make_inputs(), **more)
        found = {"caught": not report.ok, "text": str(report), "name": "vague", "line": False, "lines": [], "first": ""}
        said = sentences(report)
    if found["caught"] and said:
        lines = kinds.numbers("\n".join(said))
        changed = plant.lines(bug)
        found |= {"name": kinds.verdict(said, bug.kinds), "first": said[0], "lines": sorted(lines)}
        found |= {"line": bool(lines & changed), "line first": bool(kinds.numbers(said[0]) & changed)}
    return found


def sentences(report: Report) -> list[str]:
    """The diagnosis, then the problems as one; what an exception of NumPy's says is no word of the checker's."""
    problems = [re.sub(r"(raises \w+):.*", r"\1", problem, flags=re.DOTALL) for problem in report.problems]
    return [*report.diagnosis, *([" ".join(problems)] if problems else [])]


def examine_right(case: cases.Case, remake: bool) -> dict[str, Any]:
    """What the checker says of a right operation at this case's inputs; nothing if its output is not finite there."""
    with plant.imported(case.operation, plant.source(case.operation)) as module:
        inputs = case.inputs(module)
        if not np.isfinite(module.forward(**inputs)[0]).all():
            return {"verdict": "no case", "text": ""}
        more = {"remake": module.make_inputs, "sizes": case.sizes} if remake else {}
        report = check(module.forward, module.backward, inputs, seed=case.seed, **more)
        return {"verdict": report.verdict, "text": str(report)}


# --- each in a process of its own ------------------------------------------------------------------------------------


def _work(function: Callable, arguments: tuple, pipe: Connection) -> None:
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
    began = time.perf_counter()
    try:
        found = function(*arguments)
    except Exception:
        found = {"crash": traceback.format_exc()}
    pipe.send(found | {"seconds": time.perf_counter() - began})


def in_processes(
    jobs: Iterable[tuple[Callable, tuple]], at_once: int, limit: float = LIMIT
) -> Iterator[tuple[int, dict]]:
    """The number of each job, and what came of it, as they end."""
    context = multiprocessing.get_context("fork")
    queue, running = enumerate(jobs), {}
    while True:
        while len(running) < at_once and (job := next(queue, None)) is not None:
            number, (function, arguments) = job
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(function, arguments, writer), daemon=True)
            process.start()
            writer.close()
            running[reader] = number, process, time.monotonic()
        if not running:
            return
        ready = set(wait(list(running), timeout=1))
        for reader, (number, process, began) in list(running.items()):
            if reader in ready:
                try:
                    found = reader.recv()
                except EOFError:
                    process.join()
                    found = {
                        "crash": f"the process died: {_death(process.exitcode)}",
                        "seconds": time.monotonic() - began,
                    }
            elif time.monotonic() - began > limit:
                process.kill()
                found = {"crash": f"no end after {limit} s", "seconds": limit}
            else:
                continue
            process.join()
            del running[reader]
            yield number, found


def gathered(jobs: list[tuple[Callable, tuple]], at_once: int = 1) -> list[dict]:
    """What came of each job, in their order."""
    return [found for _, found in sorted(in_processes(jobs, at_once), key=lambda pair: pair[0])]


def _death(status: int | None) -> str:
    return signal.Signals(-status).name if status is not None and status < 0 else f"status {status}"


# --- what is told ----------------------------------------------------------------------------------------------------


def tell(bug: plant.Bug, remake: bool, found: dict) -> str:
    if "crash" in found:
        what, first = "CRASH", found["crash"].strip().splitlines()[-1]
    elif not found["caught"]:
        what, first = "NOT CAUGHT", ""
    else:
        what, first = found["name"], found["first"]
    line = "line" if found.get("line") else "    "
    return f"{what:11} {line} {found['seconds']:5.1f} s  {'' if remake else 'no remake: '}{bug} ({bug.kind}) | {first}"


def helps(found: dict) -> bool:
    """Is a bug caught, and named in the first sentence or placed at its line?"""
    return bool(found.get("caught") and (found["name"] == "named first" or found["line"]))


def counts(results: list[dict]) -> dict[str, Any]:
    names = Counter(found["name"] for found in results if found.get("caught"))
    caught = [found for found in results if found.get("caught")]
    return {
        "bugs": len(results),
        "caught": len(caught),
        "named first": names["named first"],
        "named later": names["named later"],
        "misnamed": names["misnamed"],
        "vague": names["vague"],
        "line found": sum(found["line"] for found in caught),
        "line in the first sentence": sum(found.get("line first", False) for found in caught),
        "named first or line found": sum(helps(found) for found in results),
        "lines told": round(float(np.mean([len(found["lines"]) for found in caught] or [0])), 1),
        "crashes": sum("crash" in found for found in results),
        "seconds": round(sum(found["seconds"] for found in results), 1),
    }


def by(bugs: list[plant.Bug], results: list[dict], key: Callable[[plant.Bug], str]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[dict]] = {}
    for bug, found in zip(bugs, results, strict=True):
        groups.setdefault(key(bug), []).append(found)
    return {group: counts(results) for group, results in sorted(groups.items())}


def table(title: str, groups: dict[str, dict[str, Any]]) -> str:
    columns = ["bugs", "caught", "named first", "line found", "named first or line found", "misnamed", "vague"]
    heads = ["bugs", "caught", "first", "line", "either", "misnamed", "vague"]
    rows = [f"{title:22}" + "".join(f"{head:>9}" for head in heads)]
    rows += [f"{name:22}" + "".join(f"{group[column]:9}" for column in columns) for name, group in groups.items()]
    return "\n".join(rows)


# --- the suite itself ------------------------------------------------------------------------------------------------


def verify(bugs: list[plant.Bug]) -> list[str]:
    """A sentence for each thing that is wrong with the suite."""
    warnings.simplefilter("ignore")
    wrong = [f"{name} is there twice" for name, n in Counter(map(str, bugs)).items() if n > 1]
    wrong += [f"{bug}: no kind {kind!r}" for bug in bugs for kind in bug.kinds if kind not in kinds.KINDS]
    for operation in plant.OPERATIONS:
        with plant.imported(operation, plant.source(operation)) as module:
            for seed in (0, 1):
                error = plant.error(module, module.make_inputs(seed=seed))
                wrong += [f"{operation} is wrong by {error:.1e}"] if not error < 1e-6 else []
    for bug in bugs:
        try:
            with plant.imported(bug.operation, plant.planted(bug)) as module:
                error = plant.error(module, module.make_inputs())
                wrong += [f"{bug}: no gradient is wrong ({error:.1e})"] if not error > 1e-5 else []
        except ValueError as problem:
            wrong.append(str(problem))
    return wrong


# --- all of it -------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="operations, names or kinds with such a word in them"
    )
    parser.add_argument(
        "--style", choices=["functions", "class", "closure"], help="operations that are written in this style"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth bug, and every Nth right case")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--no-remake", action="store_true", help="only without remake and sizes")
    modes.add_argument("--remake", action="store_true", help="only with remake and sizes")
    parser.add_argument("--right", action="store_true", help="only the right cases")
    parser.add_argument("--bugs", action="store_true", help="only the bugs")
    parser.add_argument("--verify", action="store_true", help="see whether the suite is right, without the checker")
    parser.add_argument("--report", action="store_true", help="print whole reports")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found there")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time")
    arguments = parser.parse_args()

    def wanted(*texts: str) -> bool:
        return not arguments.only or any(word in text for word in arguments.only for text in texts)

    styles = {operation: plant.style(operation) for operation in plant.OPERATIONS}
    fits = {operation for operation in plant.OPERATIONS if arguments.style in (None, styles[operation])}
    bugs = [b for b in plant.bugs() if b.operation in fits and wanted(b.operation, b.name, b.kind)][:: arguments.every]
    if arguments.verify:
        wrong = verify(bugs)
        print("\n".join(wrong or [f"{len(bugs)} bugs apply and make a gradient wrong; the operations are right"]))
        return 2 if wrong else 0
    document: dict[str, Any] = {}
    failed = False
    for remake in [] if arguments.right else [True] * (not arguments.no_remake) + [False] * (not arguments.remake):
        results: list[dict] = [{}] * len(bugs)
        for number, found in in_processes(((examine, (bug, remake)) for bug in bugs), arguments.jobs):
            results[number] = found
            print(tell(bugs[number], remake, found), flush=True)
            if arguments.report:
                print("    " + found.get("text", found.get("crash", "")).replace("\n", "\n    "))
        failed |= not all(found.get("caught") for found in results)
        mode = "with remake" if remake else "without remake"
        document[mode] = {
            "counts": counts(results),
            "by kind": by(bugs, results, lambda bug: bug.kind),
            "by style": by(bugs, results, lambda bug: styles[bug.operation]),
            "by operation": by(bugs, results, lambda bug: bug.operation),
            "bugs": {
                str(bug): {"kind": bug.kind, "edited": sorted(plant.lines(bug)), **found}
                for bug, found in zip(bugs, results, strict=True)
            },
        }
    if not arguments.bugs:
        right = [c for c in cases.cases() if c.operation in fits and wanted(c.operation, c.name)][:: arguments.every]
        verdicts: Counter[str] = Counter()
        accused, seconds = {}, 0.0
        remake = not arguments.no_remake
        for number, found in in_processes(((examine_right, (case, remake)) for case in right), arguments.jobs):
            verdict = found.get("verdict", "crash")
            verdicts[verdict] += 1
            seconds += found["seconds"]
            if verdict not in ("right", "not checked", "no case"):
                accused[str(right[number])] = found.get("text", found.get("crash", ""))
                text = found.get("text", found.get("crash", ""))
                told = text if arguments.report else "; ".join(text.strip().splitlines()[1:3])
                print(
                    f"{'CRASH' if verdict == 'crash' else 'ACCUSED':11} {found['seconds']:10.1f} s  {right[number]} | {told}",
                    flush=True,
                )
        failed |= bool(accused)
        document["right cases"] = {"verdicts": dict(verdicts), "seconds": round(seconds, 1), "accused": accused}
    for mode in ("with remake", "without remake"):
        if mode in document:
            print(f"\n{table(mode, document[mode]['by style'] | {'': document[mode]['counts']})}\n")
            print(table("", document[mode]["by kind"]) + "\n")
            print(f"{mode}: " + ", ".join(f"{name} {number}" for name, number in document[mode]["counts"].items()))
    if "right cases" in document:
        verdicts = document["right cases"]["verdicts"]
        accused_number = len(document["right cases"]["accused"])
        print(f"right cases: {accused_number} accused; {verdicts}, seconds {document['right cases']['seconds']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
