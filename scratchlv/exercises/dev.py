"""``scratchlv exercise dev``: what authors and teachers need."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from scratchlv.cores import usable_cores
from scratchlv.errors import UserError
from scratchlv.exercises import export as exporting
from scratchlv.exercises import gradebook, template
from scratchlv.exercises.bubblewrap import bubblewrap
from scratchlv.exercises.course import Course
from scratchlv.exercises.exercise import Exercise
from scratchlv.exercises.marking import Marking, Row
from scratchlv.exercises.proof import SLOW, prove
from scratchlv.exercises.students import students
from scratchlv.shell import command

_WITHOUT = (
    "bubblewrap is not here, or may not be used: files are checked in processes of their own, "
    "which stops accidents and simple tricks, and no determined attacker"
)


def new(name: str, out: Path, to: TextIO | None = None) -> int:
    """Make the folder of a new exercise."""
    folder = template.make(name, out)
    print(f"{folder} is made: a small exercise that is complete, to be replaced file by file. Prove it:", file=to)
    print(f"  {command('exercise', 'dev', 'check', name, '--course', out)}", file=to)
    return 0


def check(course: Course, names: Sequence[str], *, slow: bool = False, jobs: int = 0, out: TextIO | None = None) -> int:
    """Prove exercises, a line for each; 0 if all of them keep what they promise, else 1.

    Args:
        names: of exercises; all if empty.
        slow: of all, those as well whose kernels are simulated.
    """
    out = out or sys.stdout
    began = time.perf_counter()
    chosen = [course.find(name) for name in names] or [each for each in course if slow or each.kind not in SLOW]
    if not chosen:
        raise UserError("all exercises of this course are slow ones: --all checks them, or name one")
    _need_solutions(course, chosen)
    wrong = 0
    for proof in prove(course, chosen, jobs or usable_cores().n):
        print(
            f"{'right' if proof.ok else 'WRONG':5}  {proof.name:24} {proof.tried:3} tried  {proof.seconds:5.1f} s",
            file=out,
            flush=True,
        )
        for sentence in proof.wrong:
            print(f"       {sentence}", file=out, flush=True)
        wrong += not proof.ok
    left = len(course) - len(chosen) if not names else 0
    slower = f", {left} slow ones left out (--all)" if left else ""
    print(f"{len(chosen) - wrong} right, {wrong} WRONG, in {time.perf_counter() - began:.0f} s{slower}", file=out)
    return 1 if wrong else 0


def export(course: Course, names: Sequence[str], path: Path, to: TextIO | None = None) -> int:
    """Write a zip of exercises, all if none are named, without their solutions."""
    if path.suffix != ".zip":
        raise UserError(f"--out {path}: the course is a zip; call it {path.with_suffix('.zip').name}")
    chosen = _chosen(course, names)
    _need_solutions(course, chosen)
    exporting.write_zip(chosen, path)
    for exercise in chosen:
        for sentence in _not_in_it(exercise, chosen):
            print(f"note: {sentence}", file=to)
    count = f"{len(chosen)} exercise{'s' if len(chosen) > 1 else ''}"
    print(f"{path}: {count} without solutions, {path.stat().st_size / 1e6:.1f} MB. Learners begin with", file=to)
    print(f"  {command('exercise', 'start', chosen[0].name, '--course', path.name)}", file=to)
    return 0


def _chosen(course: Course, names: Sequence[str]) -> list[Exercise]:
    """In the course's order; all if none are named."""
    wanted = {course.find(name) for name in names}
    return [each for each in course if each in wanted or not names]


def _not_in_it(exercise: Exercise, chosen: Sequence[Exercise]) -> list[str]:
    names = {each.name for each in chosen}
    lacking = [name for name in exercise.needs if name not in names]
    verb = "is" if len(lacking) == 1 else "are"
    needs = [f"{exercise.name} needs {' and '.join(lacking)}, which {verb} not in it"] if lacking else []
    return needs + [f"{exercise.name}/{name} is left out" for name in exporting.left_out(exercise)]


def _need_solutions(course: Course, exercises: Sequence[Exercise]) -> None:
    if any(each.record is not None for each in exercises):
        raise UserError(
            f"{course.where} has been exported, without solutions: give --course the folder that it was made from"
        )


def grade(
    course: Course,
    folders: Sequence[Path],
    csv: Path | None = None,
    *,
    only: Sequence[str] = (),
    jobs: int = 0,
    out: TextIO | None = None,
) -> int:
    """Check many students' exercises: a table, and a row for each student in a CSV. On Ctrl-C, of those that are complete."""
    out = out or sys.stdout
    chosen = _chosen(course, only)
    found, said = students(folders, chosen)
    wrapper = bubblewrap()
    said.append("each file is checked in bubblewrap" if wrapper else _WITHOUT)
    marking = Marking(found, chosen, jobs or usable_cores().n, hidden=folders, wrapper=wrapper)
    with contextlib.nullcontext() if csv is None else gradebook.Gradebook(csv, chosen) as book:
        print(*said, sep="\n", file=sys.stderr, flush=True)
        rows: list[Row] = []
        try:
            for row in marking.rows():
                rows.append(row)
                if book is not None:
                    book.add(row)
        finally:
            gradebook.show(rows, chosen, out)
            where = f", in {csv}" if csv is not None else ""
            print(f"{len(rows)} of {len(found)} student{'s' if len(found) > 1 else ''} graded{where}", file=out)
    return 0
