"""Does an exercise keep what it promises? The stub fails as it should, the solution passes, each mistake gets its diagnosis."""

from __future__ import annotations

import ast
import doctest
import io
import multiprocessing
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchlv.errors import UserError
from scratchlv.exercises import truth
from scratchlv.exercises.authoring import Pair
from scratchlv.exercises.course import Course, open_course
from scratchlv.exercises.exercise import Exercise, module_of
from scratchlv.exercises.grading import Verdict, grade
from scratchlv.gradcheck import check

SLOW = ("numba", "numba.cuda", "cuda")  # kinds whose kernels are compiled, or simulated
HINTS = 3
_MISTAKES = 3
_SMALL = 2000  # numbers in a case whose gradients are checked with slopes
_CHECKED = 3  # such cases of each backward


@dataclass(frozen=True)
class Proof:
    """What was tried of an exercise, and what is wrong with it."""

    name: str
    tried: int
    wrong: list[str]
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.wrong


def prove(course: Course, exercises: list[Exercise], jobs: int) -> Iterator[Proof]:
    """A proof for each exercise, in their order, ``jobs`` at once in processes of their own."""
    if jobs == 1 or len(exercises) == 1:
        yield from (prove_one(each, course) for each in exercises)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_prove_named, [course.where] * len(exercises), [each.name for each in exercises])


def _prove_named(where: Path | None, name: str) -> Proof:
    course = open_course(where)
    return prove_one(course.find(name), course)


def prove_one(exercise: Exercise, course: Course) -> Proof:
    began, wrong, tried = time.perf_counter(), [], 0
    for trial in (_texts, _doctests, _solution, _gradients, _other_sizes, _stub, _spoilt, _mistakes):
        try:
            for found in trial(exercise, course):
                tried += 1
                wrong += [found] if found else []
        except UserError as error:
            wrong.append(str(error))
    return Proof(exercise.name, tried, wrong, time.perf_counter() - began)


# Each trial yields a sentence for what is wrong, and an empty one for what is right.


def _texts(exercise: Exercise, course: Course) -> Iterator[str]:
    few = len(exercise.hints) < HINTS or not all(hint.strip() for hint in exercise.hints)
    yield f"it has {len(exercise.hints)} hints, and should have {HINTS}: the last is the derivation" if few else ""
    before = [each.name for each in course if each.order < exercise.order]
    for name in exercise.needs:
        yield "" if name in before else f"it needs {name}, which does not come before it"
    root = Path(__file__).resolve().parents[2]
    for name in exercise.real:
        there = not (root / "pyproject.toml").is_file() or (root / name).is_file()
        yield "" if there else f"real names {name}, and there is no such file"
    sizes = list(exercise.sizes.values())
    yield "" if len(set(sizes)) == len(sizes) else "two of its sizes are equal: a wrong axis would not show"
    twice = [each.name for each in course if each.order == exercise.order and each.name != exercise.name]
    yield f"{twice[0]} has the same order, {exercise.order}" if twice else ""


def _doctests(exercise: Exercise, course: Course) -> Iterator[str]:
    if exercise.suffix != ".py":
        return
    module = module_of(exercise.solution, exercise.folder / "solution.py")
    said = io.StringIO()
    runner, globs = doctest.DocTestRunner(verbose=False), dict(vars(module))
    examples = [test for test in doctest.DocTestFinder(recurse=False).find(module, globs=globs) if test.examples]
    yield "" if examples or exercise.kind != "numpy" else "its docstring has no worked example (>>> …)"
    for test in examples:
        runner.run(test, out=said.write)
    failed = _short(said.getvalue().partition("Failed example:")[2])
    yield f"the example in its docstring is wrong: {failed}" if runner.failures else ""


def _solution(exercise: Exercise, course: Course) -> Iterator[str]:
    verdict = _graded(exercise, exercise.solution, (*truth.SEEDS, *truth.UNSEEN))
    yield "" if verdict.passed else f"its solution fails: {verdict.sentence}{_case(verdict)}"
    yield "" if not verdict.printed.strip() else f"its solution prints: {_short(verdict.printed)}"


def _gradients(exercise: Exercise, course: Course) -> Iterator[str]:
    """The solution's backward passes against numerical slopes."""
    if exercise.kind != "numpy":
        return
    module = module_of(exercise.solution, exercise.folder / "solution.py")
    pairs = [case for case in exercise.cases(1) if isinstance(case, Pair)]
    small = [case for case in pairs if sum(np.size(value) for value in case.inputs.values()) < _SMALL]
    tried: dict[str, int] = {}
    for case in small:
        tried[case.forward] = tried.get(case.forward, 0) + 1
        if tried[case.forward] > _CHECKED:
            continue
        forward, backward = getattr(module, case.forward), getattr(module, case.backward)
        report = check(forward, backward, case.inputs, fixed=case.fixed, repair=False, max_elements=60)
        yield (
            ""
            if report.ok or report.verdict == "not checked"
            else f"its solution's gradient is wrong: {_short(str(report))}"
        )


def _other_sizes(exercise: Exercise, course: Course) -> Iterator[str]:
    other = {name: size + 1 for name, size in exercise.sizes.items()}
    try:
        found = list(exercise.cases(2, other))
    except Exception as error:
        yield f"its cases do not take other sizes ({other}): {type(error).__name__}: {error}"
        return
    yield "" if found else f"it has no case with the sizes {other}"


def _stub(exercise: Exercise, course: Course) -> Iterator[str]:
    if exercise.suffix == ".py":
        ast.parse(exercise.stub)
    verdict = _graded(exercise, exercise.stub)
    if verdict.passed:
        yield "its stub passes"
        return
    written = "NotImplementedError" in exercise.stub
    good = verdict.stage == "start" and "yours to write" in verdict.sentence
    yield "" if good or not written else f"its stub fails with another message than its first: {verdict.sentence}"


def _spoilt(exercise: Exercise, course: Course) -> Iterator[str]:
    """A file that is empty, and one that is no Python."""
    for what, text in (("an empty file", ""), ("a file with a syntax error", exercise.stub + "\nx = (1,\n")):
        verdict = _graded(exercise, text)
        good = not verdict.passed and verdict.sentence and "Traceback" not in verdict.sentence
        yield "" if good else f"{what} gets no sentence"


def _mistakes(exercise: Exercise, course: Course) -> Iterator[str]:
    if len(exercise.mistakes) < _MISTAKES:
        yield f"it has {len(exercise.mistakes)} mistakes, and should have {_MISTAKES}"
    for mistake in exercise.mistakes:
        verdict = _graded(exercise, mistake.planted(exercise.solution))
        name = f"mistakes/{mistake.name}.patch"
        if verdict.passed:
            yield f"{name} passes"
        elif verdict.stage != mistake.stage:
            yield f"{name} fails at the stage {verdict.stage}, and should at {mistake.stage}: {verdict.sentence}"
        else:
            said = " ".join((verdict.sentence, verdict.case, *verdict.diagnosis))
            other = f" (it makes the numbers of {verdict.mistake})" if verdict.mistake else ""
            good = mistake.says in said and not (verdict.diagnosis and verdict.diagnosis[0].startswith("either: "))
            yield "" if good else f"{name} does not get its diagnosis{other} alone, but: {_short(said)}"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _graded(exercise: Exercise, text: str, seeds: Iterable[int] = truth.SEEDS) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / exercise.file_name
        path.write_text(text, "utf-8")
        return grade(exercise, path, seeds=seeds)


def _case(verdict: Verdict) -> str:
    return f" ({verdict.case})" if verdict.case else ""


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
