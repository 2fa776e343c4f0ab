"""A course to hand out: a zip of exercises without their solutions, which a learner can start and check offline."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import scratchlv
from scratchlv.errors import UserError
from scratchlv.exercises import record, truth
from scratchlv.exercises.course import CONTENTS
from scratchlv.exercises.exercise import Exercise

_DATE = (1980, 1, 1, 0, 0, 0)  # of each file: the same course is the same zip
_KEPT = {"exercise.toml", "launch.py"}
_ELSEWHERE = {"solution.py", "solution.cu", "cases.py", "mistakes", "__pycache__"}  # what they say is in other files


def write_zip(exercises: Sequence[Exercise], path: Path) -> None:
    """
    Raises:
        UserError: an exercise has no solution here, or its solution or its ``cases.py`` raises.
    """
    files = {f"{each.name}/{name}": data for each in exercises for name, data in contents(each).items()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    about = {"format": 1, "scratchlv": scratchlv.__version__, "files": digests}
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(new, "w") as file:
            for name, data in {CONTENTS: json.dumps(about, indent=1).encode(), **files}.items():
                entry = zipfile.ZipInfo(name, _DATE)
                entry.external_attr = 0o644 << 16
                file.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def contents(exercise: Exercise) -> dict[str, bytes]:
    """The files of an exported exercise, by name."""
    made = {f"stub{exercise.suffix}": exercise.bare_stub.encode(), record.FILE: _recorded(exercise)}
    if exercise.grade is not None:
        text = (exercise.folder / "cases.py").read_text("utf-8")
        made["cases.py"] = what_is_needed("grade", text).encode()
    for name in sorted(_KEPT):
        if (exercise.folder / name).is_file():
            made[name] = (exercise.folder / name).read_bytes()
    return made


def left_out(exercise: Exercise) -> list[str]:
    """Files of the folder that no exercise has, and that are not handed out."""
    names = (path.name for path in exercise.folder.iterdir())
    return sorted(name for name in names if name not in _KEPT | _ELSEWHERE and not name.startswith("."))


def _recorded(exercise: Exercise) -> bytes:
    try:
        cases = {seed: [_fields(each) for each in truth.expected(exercise, seed)] for seed in truth.SEEDS}
    except UserError:
        raise
    except Exception as error:
        check = f"scratchlv exercise dev check {exercise.name} says more"
        raise UserError(f"the solution of {exercise.name} raises {type(error).__name__}: {error}; {check}") from error
    return record.packed(cases, exercise.mistakes)


def _fields(case: truth.Expected) -> dict[str, Any]:
    return {each.name: getattr(case, each.name) for each in dataclasses.fields(case)}


# --- cases.py without what makes the cases ----------------------------------------------------------------------------


def what_is_needed(function: str, text: str) -> str:
    """Of a Python file, the statements at its top level that a function needs, in their order.

    What is left out made the cases, with their results perhaps: they are recorded.
    """
    tree, lines = ast.parse(text), text.splitlines()
    statements = [(_defined(each), _used(each), each) for each in tree.body if not _is_text(each)]
    needed, before = {function}, 0
    while len(needed) > before:
        before = len(needed)
        for defined, used, _ in statements:
            if defined & needed or not defined:  # what defines nothing does something, to what it names
                needed |= used
    kept = [each for defined, _, each in statements if defined & needed or not defined]
    return "\n\n".join("\n".join(lines[_first_line(each) - 1 : each.end_lineno]) for each in kept) + "\n"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return set()
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(each.asname or each.name).partition(".")[0] for each in node.names}
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def _used(node: ast.stmt) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _first_line(node: ast.stmt) -> int:
    decorators: Iterator[int] = (each.lineno for each in getattr(node, "decorator_list", ()))
    return min([node.lineno, *decorators])
