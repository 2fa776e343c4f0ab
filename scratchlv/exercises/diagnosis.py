"""What the gradient checker says of a learner's own functions, where their gradient is wrong: the cause, or the line.

It runs beside the learner's code, in another process under the same limits, and says sentences: it has no part in the verdict.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchlv.exercises import truth
from scratchlv.exercises.exercise import Exercise
from scratchlv.exercises.grading import Unfit, Verdict, process_for, read_text
from scratchlv.exercises.process import Raised, Trouble
from scratchlv.exercises.truth import Expected
from scratchlv.exercises.wire import plain
from scratchlv.gradcheck.naming.diagnose import UNKNOWN

_ENOUGH = 12  # numbers among the inputs
_FEWEST = 3  # numbers in a gradient
_LONGEST = 600  # letters of a sentence
SECONDS = 20.0  # that a search for the line may take
QUICK = 3.0  # that a check may take for the cause


def diagnosis(exercise: Exercise, path: Path, verdict: Verdict, *, line: bool = False) -> tuple[str, ...]:
    """At most three sentences; with ``line``, the one that names the line of the bug, without its mend."""
    if verdict.failed is None or exercise.kind != "numpy":
        return ()
    failed = telling(exercise, verdict.failed)
    limits = replace(exercise.limits, seconds=SECONDS if line else QUICK)
    options: dict[str, Any] = {"fixed": list(failed.fixed), "repair": line, "hint": "line"}
    forward, backward = failed.functions
    try:
        text = read_text(path)
        with process_for(replace(exercise, limits=limits), path, diagnosing=True, repairing=line) as process:
            process.ask("load", text=text)
            reply = process.ask("diagnose", forward=forward, backward=backward, inputs=failed.inputs, **options)
    except (Trouble, Raised, Unfit):
        return ()
    found = reply.get("diagnosis") if isinstance(reply, dict) else None
    sentences = [plain(str(each), _LONGEST) for each in found if each != UNKNOWN] if isinstance(found, list) else []
    if line:
        sentences = [each for each in sentences if re.match(r"(\S+, )?line \d+", each)][:1]
    return tuple(sentences[:3])


def telling(exercise: Exercise, failed: Expected) -> Expected:
    """The case to diagnose: a tiny example, whose sizes are 1, tells little, and the next case of the same functions more."""
    if _tells(failed):
        return failed
    cases = (each for each in truth.expected(exercise, 0) if each.functions == failed.functions)
    return next(filter(_tells, cases), failed)


def _tells(case: Expected) -> bool:
    """Whether there are so many numbers among the inputs and in each gradient that an accident is not taken for a cause."""
    inputs = sum(value.size for value in case.inputs.values() if isinstance(value, np.ndarray))
    return inputs >= _ENOUGH and all(np.size(grad) >= _FEWEST for grad in (case.grads or {}).values())
