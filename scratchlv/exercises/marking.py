"""Many students' exercises checked at once, each file in a process of its own: whatever one does costs only its own cell."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from scratchlv.errors import UserError
from scratchlv.exercises import truth
from scratchlv.exercises.exercise import Exercise
from scratchlv.exercises.grading import MOST_TEXT, grade
from scratchlv.exercises.process import PACKAGE, end_all
from scratchlv.exercises.students import Found, Student, find, read_bounded
from scratchlv.output import styled

PASSED, MISSING = "passed", "missing"
_OFTEN, _SELDOM = 0.3, 30.0  # seconds between lines of progress: on a terminal, elsewhere


@dataclass(frozen=True)
class Mark:
    """Of one exercise: passed, missing, or the stage that failed; the sentence; and the mistake, where it is known."""

    what: str
    sentence: str = ""
    mistake: str = ""

    @property
    def why(self) -> str:
        return "; ".join(filter(None, (self.sentence, self.mistake)))


@dataclass(frozen=True)
class Row:
    """Of one student: a mark for each exercise, and what is to be said of the folder."""

    student: Student
    marks: dict[str, Mark]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> int:
        return sum(each.what == PASSED for each in self.marks.values())


class Marking:
    """The checks of a class.

    Args:
        hidden: what no student's file must read: the folders of the others.
        wrapper: bubblewrap's command, or nothing.
    """

    def __init__(
        self,
        students: Sequence[Student],
        exercises: Sequence[Exercise],
        jobs: int,
        *,
        hidden: Sequence[Path] = (),
        wrapper: tuple[str, ...] = (),
        progress: TextIO | None = None,
    ) -> None:
        self.students, self.exercises, self.jobs, self.wrapper = students, exercises, jobs, wrapper
        self._hidden = [each for each in map(Path.resolve, hidden) if not _holds_python(each)]
        self._stopped = threading.Event()
        self._progress = progress or sys.stderr

    def rows(self) -> Iterator[Row]:
        """The rows in the students' order. On Ctrl-C come those that are complete, then KeyboardInterrupt."""
        found = [find(student.folder, self.exercises) for student in self.students]
        told = _Told(sum(len(each.files) for each in found), self._progress)
        copies = Path(tempfile.mkdtemp(prefix="scratchlv-grade-"))
        pool = ThreadPoolExecutor(self.jobs)
        try:
            waiting = [
                (student, each, self._submitted(pool, each, copies, told))
                for student, each in zip(self.students, found, strict=True)
            ]
            yield from self._collected(waiting)
        finally:
            self._stopped.set()
            end_all()
            pool.shutdown(cancel_futures=True)
            told.finish()
            shutil.rmtree(copies, ignore_errors=True)

    def _submitted(self, pool: ThreadPoolExecutor, found: Found, copies: Path, told: _Told) -> dict[str, Future[Mark]]:
        made = {}
        for exercise in self.exercises:
            if exercise.name in found.files:
                made[exercise.name] = pool.submit(self._mark, exercise, found.files[exercise.name], copies)
                made[exercise.name].add_done_callback(told.step)
        return made

    def _collected(self, waiting: list[tuple[Student, Found, dict[str, Future[Mark]]]]) -> Iterator[Row]:
        interrupted = False
        for student, found, futures in waiting:
            try:
                if interrupted and not all(each.done() for each in futures.values()):
                    continue
                marks = {
                    each.name: futures[each.name].result() if each.name in futures else Mark(MISSING)
                    for each in self.exercises
                }
            except KeyboardInterrupt:
                interrupted = True
                self._stopped.set()  # what is begun after this is no mark
                continue
            yield Row(student, marks, tuple(found.notes))
        if interrupted:
            raise KeyboardInterrupt

    def _mark(self, exercise: Exercise, path: Path, copies: Path) -> Mark:
        if self._stopped.is_set():
            raise KeyboardInterrupt
        try:
            data = read_bounded(path, MOST_TEXT + 1)
        except UserError as error:
            return Mark("unreadable", str(error))
        except OSError as error:
            return Mark("unreadable", f"{path.name} cannot be read: {error.strerror}")
        try:
            return self._checked(exercise, data, copies)
        except UserError as error:
            return Mark("not checked", str(error))
        except Exception as error:  # of the course's own code, on what this student returns
            return Mark("not checked", f"the check itself raised {type(error).__name__}: {error}")

    def _checked(self, exercise: Exercise, data: bytes, copies: Path) -> Mark:
        """The verdict on a copy: the student's folder is not touched, and not shown to the file."""
        with tempfile.TemporaryDirectory(dir=copies) as folder:
            copy = Path(folder) / exercise.file_name
            copy.write_bytes(data)
            seeds = truth.UNSEEN if exercise.record is None else truth.SEEDS
            verdict = grade(exercise, copy, seeds=seeds, wrapper=self.wrapper, hidden=(*self._hidden, copies))
        if verdict.passed:
            return Mark(PASSED)
        line = f"line {verdict.line}: " if verdict.line else ""
        return Mark(verdict.stage, line + verdict.sentence, "; ".join(verdict.diagnosis))


def _holds_python(folder: Path) -> bool:
    """Whether what the learner's process runs on lies in a folder, which then cannot be hidden from it."""
    return any(Path(each).resolve().is_relative_to(folder) for each in (sys.prefix, sys.base_prefix, PACKAGE))


class _Told:
    """How many checks are done, and how long the others will take, on stderr."""

    def __init__(self, checks: int, out: TextIO) -> None:
        self._checks, self._out, self._done = checks, styled(out), 0
        self._terminal, self._shown = out.isatty(), False
        self._lock, self._began = threading.Lock(), time.perf_counter()
        self._next = self._began + 1

    def step(self, _: object) -> None:
        with self._lock:
            self._done += 1
            now = time.perf_counter()
            if now < self._next or self._done == self._checks:
                return
            self._next = now + (_OFTEN if self._terminal else _SELDOM)
            left = (now - self._began) / self._done * (self._checks - self._done)
            line = f"{self._done:,} of {self._checks:,} checks, {_duration(left)} left"
            self._out.write(f"\r{line}\033[K" if self._terminal else f"{line}\n")
            self._out.flush()
            self._shown = self._terminal

    def finish(self) -> None:
        with self._lock:
            if self._shown:
                self._out.write("\r\033[K")
                self._out.flush()
            self._next = float("inf")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
