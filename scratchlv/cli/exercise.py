"""``scratchlv exercise``: exercises for learners, and what their teachers need."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scratchlv.cli.arguments import Arguments
from scratchlv.errors import UserError

_COURSE = "a course of somebody's own: a folder of exercises, or the zip that a teacher has handed out"


def add_commands(commands: Any) -> None:
    """Add ``exercise`` to the parser."""
    exercise = commands.add_parser(
        "exercise",
        help="exercises that grade themselves: start, check, hint",
        description="Exercises in the order of the lecture, from a numerical derivative to a tiled matrix product. `start` "
        "writes a file; write what is missing, and `check` says whether it is right, and what the mistake is. Run them in a "
        "folder of your own.",
    )
    actions = exercise.add_subparsers(metavar="ACTION", required=True)
    _add_learners(actions)
    _add_teachers(actions)


def _add(actions: Any, name: str, command: Any, help: str, **more: Any) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help, **more)
    parser.add_argument("--course", type=Path, metavar="COURSE", help=_COURSE)
    parser.set_defaults(command=command)
    return parser


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=Path, default=Path(), metavar="DIR", help="where the files are (default: this folder)"
    )


def _add_name(parser: argparse.ArgumentParser, required: bool = False) -> None:
    parser.add_argument(
        "name",
        nargs=None if required else "?",
        metavar="NAME",
        help="an exercise: its name, its number or its file" + ("" if required else " (default: the one begun last)"),
    )


def _add_learners(actions: Any) -> None:
    _add_folder(_add(actions, "list", _list, "all exercises, and which are solved"))
    start = _add(actions, "start", _start, "write an exercise's file into this folder")
    _add_name(start)
    start.add_argument("--force", action="store_true", help="begin anew; what is there is kept under another name")
    check = _add(actions, "check", _check, "is it right, and if not, why")
    _add_name(check)
    check.add_argument("--watch", action="store_true", help="check again whenever the file is saved")
    check.add_argument("--json", action="store_true", help="the verdict as one line of JSON")
    hint = _add(actions, "hint", _hint, "the next hint: three for each exercise, and the line of the bug")
    _add_name(hint)
    hint.add_argument("--line", action="store_true", help="the line where the mistake is, where a gradient is wrong")
    solution = _add(actions, "solution", _solution, "the solution, once it is passed")
    _add_name(solution)
    solution.add_argument("--reveal", action="store_true", help="show it before; the report says so")
    reset = _add(actions, "reset", _reset, "put the stub back; what is there is kept under another name")
    _add_name(reset)
    following = _add(actions, "next", _next, "start the next exercise that is not solved")
    progress = _add(actions, "progress", _progress, "how far one has come")
    report = _add(actions, "report", _report, "all that was done")
    report.add_argument("--json", action="store_true", help="as JSON")
    for parser in (start, check, hint, solution, reset, following, progress, report):
        _add_folder(parser)


def _add_teachers(actions: Any) -> None:
    dev = actions.add_parser("dev", help="for teachers: write, prove, hand out and grade exercises")
    kinds = dev.add_subparsers(metavar="ACTION", required=True)
    new = kinds.add_parser("new", help="make the folder of a new exercise")
    new.add_argument("name", metavar="NAME", help="of the exercise, such as layer_norm")
    new.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="the course's folder (default: this one)")
    new.set_defaults(command=_dev_new)
    check = _add(kinds, "check", _dev_check, "prove exercises: the stub fails, the solution passes, mistakes are named")
    check.add_argument("names", nargs="*", metavar="NAME", help="exercises (default: all but the slow ones)")
    check.add_argument("--all", action="store_true", help="the slow ones as well: kernels for simulated GPUs")
    check.add_argument("--jobs", type=int, default=0, metavar="N", help="so many at once (default: one for each core)")
    export = _add(kinds, "export", _dev_export, "a zip of exercises without solutions, to hand out")
    export.add_argument("names", nargs="*", metavar="NAME", help="exercises (default: all)")
    export.add_argument("--out", type=Path, required=True, metavar="COURSE.zip", help="the zip to write")
    grade = _add(kinds, "grade", _dev_grade, "check many students' folders")
    grade.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="one for each student")
    grade.add_argument("--csv", type=Path, metavar="FILE.csv", help="write the table there")
    grade.add_argument("--only", nargs="+", default=[], metavar="NAME", help="exercises (default: all of the course)")
    grade.add_argument("--jobs", type=int, default=0, metavar="N", help="so many at once (default: one for each core)")


def _course(arguments: Arguments) -> Any:
    from scratchlv.exercises.course import open_course

    return open_course(arguments.course)


def _jobs(arguments: Arguments) -> int:
    if arguments.jobs < 0:
        raise UserError(f"--jobs {arguments.jobs}: give 1 or more, or leave it out")
    return arguments.jobs


# --- learners ---------------------------------------------------------------------------------------------------------


def _desk(arguments: Arguments) -> Any:
    from scratchlv.exercises.desk import Desk

    return Desk.open(arguments.folder, arguments.course)


def _list(arguments: Arguments) -> int:
    return _desk(arguments).show_list()


def _start(arguments: Arguments) -> int:
    return _desk(arguments).start(arguments.name, force=arguments.force)


def _check(arguments: Arguments) -> int:
    desk = _desk(arguments)
    if arguments.watch and arguments.json:
        raise UserError("--json is of one check, and --watch checks again and again: give one of the two")
    if arguments.watch:
        return desk.watch(arguments.name)
    return desk.check(arguments.name, as_json=arguments.json)


def _hint(arguments: Arguments) -> int:
    return _desk(arguments).hint(arguments.name, line=arguments.line)


def _solution(arguments: Arguments) -> int:
    return _desk(arguments).solution(arguments.name, reveal=arguments.reveal)


def _reset(arguments: Arguments) -> int:
    return _desk(arguments).reset(arguments.name)


def _next(arguments: Arguments) -> int:
    return _desk(arguments).start(None, force=False)


def _progress(arguments: Arguments) -> int:
    return _desk(arguments).show_progress()


def _report(arguments: Arguments) -> int:
    return _desk(arguments).report(as_json=arguments.json)


# --- teachers ---------------------------------------------------------------------------------------------------------


def _dev_new(arguments: Arguments) -> int:
    from scratchlv.exercises import dev

    return dev.new(arguments.name, arguments.out)


def _dev_check(arguments: Arguments) -> int:
    from scratchlv.exercises import dev

    return dev.check(_course(arguments), arguments.names, slow=arguments.all, jobs=_jobs(arguments))


def _dev_export(arguments: Arguments) -> int:
    from scratchlv.exercises import dev

    return dev.export(_course(arguments), arguments.names, arguments.out)


def _dev_grade(arguments: Arguments) -> int:
    from scratchlv.exercises import dev

    return dev.grade(_course(arguments), arguments.folders, arguments.csv, only=arguments.only, jobs=_jobs(arguments))
