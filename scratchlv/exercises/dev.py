"""``scratchlv exercise dev``: what authors and teachers need."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from scratchlv.errors import UserError
from scratchlv.exercises.course import Course
from scratchlv.exercises.proof import SLOW, prove


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
    wrong = 0
    for proof in prove(course, chosen, jobs or os.cpu_count() or 1):
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
