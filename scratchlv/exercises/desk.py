"""What learners do in a folder of theirs: start an exercise, check it, ask for a hint."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.text import Text

from scratchlv.errors import UserError
from scratchlv.exercises import progress as progress_file
from scratchlv.exercises.course import Course, open_course
from scratchlv.exercises.diagnosis import diagnosis, telling
from scratchlv.exercises.exercise import HEAD, Exercise, Mark, mark_in
from scratchlv.exercises.grading import Verdict, grade
from scratchlv.exercises.progress import Progress, Record, changing, now
from scratchlv.exercises.screen import Screen, day, state
from scratchlv.gradcheck.watch import watch

_LOOKED_AT = 2000  # files of a folder, for one that was renamed
PASSED, NOT_YET = 0, 1


@dataclass
class Desk:
    """A learner's folder, and the course whose exercises are done in it."""

    folder: Path
    course: Course
    screen: Screen = field(default_factory=Screen)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls, folder: Path, course: Path | None = None, out: TextIO | None = None, width: int | None = None
    ) -> Desk:
        """
        Raises:
            UserError: the folder is not there, or the course that was begun in it is not.
        """
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder; make it, or cd to the one with your exercises")
        kept = progress_file.read(folder).course
        where = course or (Path(kept) if kept else None)
        if kept and course is None and not Path(kept).exists():
            raise UserError(
                f"the exercises in {folder} are of the course {kept}, which is not there: name it with --course"
            )
        return cls(folder, open_course(where), Screen(out, width))

    # --- beginning ---

    def start(self, name: str | None, *, force: bool = False) -> int:
        """Write the file of an exercise; without a name, of the first that is not passed."""
        exercise = self.course.find(name) if name else self._first_open()
        path = self._known_path(exercise)
        holds_work = path.exists() and not force and not self._is_stub(exercise, path)
        if not holds_work:
            self._write(exercise, path)
        with changing(self.folder, self.notes) as progress:
            record = progress.of(exercise.name)
            record.file, record.begun = path.name, record.begun or now()
            progress.current = exercise.name
            progress.course = str(self.course.where.resolve()) if self.course.where else ""
        if holds_work:
            raise UserError(f"{path} holds work: go on with it, or begin anew with --force, which keeps a copy")
        self.screen.print(f"{path.name} is written: {exercise.title} (about {exercise.minutes} minutes).")
        missing = [each for each in exercise.needs if not progress.has_passed(each)]
        if missing:
            self.screen.print(f"It builds on {', '.join(missing)}, which you have not passed here.")
        self.screen.print("Write what is missing, then:")
        self.screen.line("  scratchlv exercise check")
        self._say_notes()
        return 0

    def _is_stub(self, exercise: Exercise, path: Path) -> bool:
        return path.is_file() and path.read_bytes().replace(b"\r\n", b"\n") == exercise.stub.encode()

    def reset(self, name: str | None) -> int:
        """Put the stub back."""
        exercise = self._chosen(name)
        path = self._file(exercise, must_exist=False)
        self._write(exercise, path)
        with changing(self.folder, self.notes) as progress:
            progress.of(exercise.name).file = path.name
            progress.current = exercise.name
        self.screen.print(f"{path.name} is the stub again.")
        self._say_notes()
        return 0

    def _write(self, exercise: Exercise, path: Path) -> None:
        """The stub; what is there and is not the stub is kept beside it."""
        if path.exists() and not self._is_stub(exercise, path):
            kept = next(
                each for i in itertools.count(1) if not (each := path.with_name(f"{path.name}.kept-{i}")).exists()
            )
            os.replace(path, kept)
            self.screen.print(f"What was there is kept as {kept.name}.")
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.write_text(exercise.stub, "utf-8", newline="\n")
        os.replace(new, path)

    # --- checking ---

    def check(self, name: str | None, *, as_json: bool = False) -> int:
        """0 if it is passed, else 1."""
        exercise = self._chosen(name)
        path = self._file(exercise)
        self._look_at_version(exercise, path)
        verdict = self._judged(exercise, path)
        self._keep(exercise, path, verdict)
        if as_json:
            self.screen.line(json.dumps(verdict.to_dict() | {"file": str(path), "notes": self.notes}))
        elif verdict.passed:
            self.screen.passed(exercise, verdict, self._following(), self._taken_notes())
        else:
            self.screen.verdict(exercise, verdict, path.name, self._taken_notes())
            self._offer_hints(exercise, verdict)
        return PASSED if verdict.passed else NOT_YET

    def _judged(self, exercise: Exercise, path: Path) -> Verdict:
        verdict = grade(exercise, path, say=self.screen.print)
        if verdict.failed is None or verdict.diagnosis:
            return verdict
        found = diagnosis(exercise, path, verdict)
        case = telling(exercise, verdict.failed)
        if found and case is not verdict.failed:
            shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in case.inputs.items() if np.ndim(value))
            self.notes.append(f"the cause (→) was looked for in a larger case: {shapes}")
        return dataclasses.replace(verdict, diagnosis=found)

    def _keep(self, exercise: Exercise, path: Path, verdict: Verdict) -> None:
        with changing(self.folder, self.notes) as progress:
            record = progress.of(exercise.name)
            record.file, record.begun = path.name, record.begun or now()
            record.attempts += 1
            record.failed = verdict.stage
            record.passed = record.passed or (now() if verdict.passed else 0.0)
            progress.current = exercise.name

    def _offer_hints(self, exercise: Exercise, verdict: Verdict) -> None:
        left = len(exercise.hints) - self._record(exercise).hints
        unseen = f"{left} of {len(exercise.hints)} not seen" if left else "all of them once more"
        self.screen.line(f"  scratchlv exercise hint         {unseen}")
        if verdict.failed is not None:
            self.screen.line("  scratchlv exercise hint --line  the line where the mistake is, if it can be found")

    def watch(self, name: str | None, out: TextIO | None = None) -> int:
        """Check now, and whenever the file is saved, until Ctrl-C, or until nobody reads what it says."""
        exercise = self._chosen(name)
        path = self._file(exercise)

        def once() -> set[Path]:
            try:
                self.check(exercise.name)
            except UserError as error:  # the file is gone, say: an editor may be writing it
                self.screen.print(f"scratchlv: {error}")
            return {path.resolve()}

        return watch(once, lambda: {path.resolve()}, path.name, out or self.screen.out)

    def _look_at_version(self, exercise: Exercise, path: Path) -> None:
        mark = _mark(path)
        if mark is not None and mark.name == exercise.name and mark.version != exercise.version:
            self.notes.append(
                f"{path.name} was begun from another version of the exercise ({mark.version}, now {exercise.version}): if its "
                "functions differ from the stub's, scratchlv exercise reset writes the new one and keeps yours"
            )

    # --- help ---

    def hint(self, name: str | None, *, line: bool = False) -> int:
        """One hint more than was seen; with ``line``, the line where the mistake is."""
        exercise = self._chosen(name)
        if line:
            return self._line_hint(exercise)
        with changing(self.folder, self.notes) as progress:
            record = progress.of(exercise.name)
            record.hints = seen = min(record.hints + 1, len(exercise.hints))
        for i, text in enumerate(exercise.hints[:seen], 1):
            self.screen.print(f"Hint {i} of {len(exercise.hints)}")
            self.screen.prose(text)
            self.screen.print("")
        self._say_notes()
        return 0

    def _line_hint(self, exercise: Exercise) -> int:
        path = self._file(exercise)
        verdict = grade(exercise, path)
        if verdict.passed:
            self.screen.print(f"{path.name} is right: there is no such line.")
            return 0
        if verdict.failed is None:
            self.screen.print(
                f"A line is looked for where a gradient is wrong; {exercise.name} fails before: {verdict.sentence}"
            )
            return NOT_YET
        self.screen.print("looking for the line: backward is run with one line changed, again and again (up to 20 s)")
        found = diagnosis(exercise, path, verdict, line=True)
        self.screen.print(
            *(found or ["no change of a single line makes the gradients right: there may be two mistakes"])
        )
        with changing(self.folder, self.notes) as progress:
            progress.of(exercise.name).line_hints += 1
        self._say_notes()
        return 0 if found else NOT_YET

    def solution(self, name: str | None, *, reveal: bool = False) -> int:
        """Print the solution of what is passed; with ``reveal`` before, and the report says so."""
        exercise = self._chosen(name)
        solution = exercise.solution
        if not self._progress.has_passed(exercise.name):
            if not reveal:
                raise UserError(
                    f"the solution of {exercise.name} opens when it is passed; --reveal shows it before, and the report says so"
                )
            with changing(self.folder, self.notes) as progress:
                progress.of(exercise.name).revealed = True
        self.screen.line(solution.rstrip())
        self._say_notes()
        return 0

    # --- how far ---

    def show_list(self) -> int:
        """All exercises."""
        records = self._progress.records

        def done(exercise: Exercise) -> Text:
            return state(records.get(exercise.name))

        if self.screen.narrow:
            self.screen.table(["", "exercise", ""], ([*_named(each), done(each)] for each in self.course))
        else:
            self.screen.table(
                ["", "exercise", "about", "what", ""],
                ([*_named(each), f"{each.minutes} min", each.title, done(each)] for each in self.course),
                keep=3,
            )
        return 0

    def show_progress(self) -> int:
        """How many are passed, what is begun, what comes next."""
        progress = self._progress
        passed = sum(progress.has_passed(each.name) for each in self.course)
        width = 20
        filled = round(width * passed / max(1, len(self.course)))
        self.screen.print(f"{passed} of {len(self.course)} passed  [{'#' * filled}{'.' * (width - filled)}]")
        known = [(each, progress.records[each.name]) for each in self.course if each.name in progress.records]
        begun = [(each, record) for each, record in known if record.begun and not record.passed]
        if begun:
            self.screen.table(["", "begun", ""], ([*_named(each), state(record)] for each, record in begun))
        following = self._following()
        if following is not None:
            self.screen.print(f"Next: {following.order:02d} {following.name}, {following.title}")
        return 0

    def report(self, *, as_json: bool = False) -> int:
        """What was done with each exercise that was begun."""
        progress = self._progress
        done = [(each, progress.records[each.name]) for each in self.course if each.name in progress.records]
        if as_json:
            exercises = [
                {"exercise": each.name, "order": each.order} | dataclasses.asdict(record) for each, record in done
            ]
            said = {"course": progress.course or "built in", "passed": progress.passed, "of": len(self.course)}
            self.screen.line(json.dumps(said | {"exercises": exercises}))
            return 0
        if not done:
            self.screen.print("Nothing is begun in this folder: scratchlv exercise start")
            return 0
        if self.screen.narrow:
            self.screen.table(["", "exercise", ""], ([*_named(each), state(record)] for each, record in done))
        else:
            self.screen.table(["", "exercise", "checks", "hints", ""], (_row(each, record) for each, record in done))
        self.screen.print(f"{progress.passed} of {len(self.course)} passed")
        return 0

    # --- which exercise, which file ---

    @property
    def _progress(self) -> Progress:
        return progress_file.read(self.folder)

    def _record(self, exercise: Exercise) -> Record:
        return self._progress.records.get(exercise.name, Record())

    def _following(self) -> Exercise | None:
        """The first that is not passed."""
        progress = self._progress
        return next((each for each in self.course if not progress.has_passed(each.name)), None)

    def _first_open(self) -> Exercise:
        found = self._following()
        if found is None:
            raise UserError("all exercises of this course are passed; name one to do it again, with --force")
        return found

    def _chosen(self, name: str | None) -> Exercise:
        """The exercise that is named, or the one begun last."""
        if name:
            return self.course.find(name)
        progress = self._progress
        if not progress.current:
            where = self.folder.resolve()
            raise UserError(
                f"no exercise is begun in {where}: scratchlv exercise start begins one, or cd to your folder"
            )
        return self.course.find(progress.current)

    def _file(self, exercise: Exercise, must_exist: bool = True) -> Path:
        """The learner's file, also where it was renamed.

        Raises:
            UserError: there is none.
        """
        path = self._known_path(exercise)
        if path.exists() or path.is_symlink():
            return path
        marks = {each: _mark(each) for each in self._files() if ".kept-" not in each.name}
        renamed = [each for each, mark in marks.items() if mark is not None and mark.name == exercise.name]
        if renamed:
            latest = max(renamed, key=lambda each: each.stat().st_mtime)
            self.notes.append(f"{path.name} is not there; {latest.name} has its first line, and is taken for it")
            return latest
        if must_exist:
            start = f"scratchlv exercise start {exercise.name}"
            raise UserError(f"{path}: there is no such file; {start} writes it, or cd to the folder that has it")
        return path

    def _known_path(self, exercise: Exercise) -> Path:
        """Where its file was last, whether or not it is there."""
        return self.folder / Path(self._record(exercise).file or exercise.file_name).name

    def _files(self) -> list[Path]:
        with os.scandir(self.folder) as entries:
            return [Path(each.path) for each in itertools.islice(entries, _LOOKED_AT) if each.is_file()]

    def _taken_notes(self) -> list[str]:
        taken, self.notes[:] = list(self.notes), []
        return taken

    def _say_notes(self) -> None:
        for note in self._taken_notes():
            self.screen.print(f"note: {note}")


def _mark(path: Path) -> Mark | None:
    """Which exercise a file says that it is; nothing of what is no file, or cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            return mark_in(file.read(HEAD))
    except OSError:
        return None


def _row(exercise: Exercise, record: Record) -> list[str | Text]:
    lines = f" + {record.line_hints} of lines" if record.line_hints else ""
    hints = f"{record.hints}{lines}{', the solution' if record.revealed else ''}"
    return [
        *_named(exercise),
        str(record.attempts),
        hints,
        f"passed {day(record.passed)}" if record.passed else state(record),
    ]


def _named(exercise: Exercise) -> list[str]:
    return [f"{exercise.order:02d}", exercise.name]
