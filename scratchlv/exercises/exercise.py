"""An exercise, as its folder says: its place in the course, its texts, its solution, its cases and its mistakes."""

from __future__ import annotations

import functools
import re
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv.errors import UserError
from scratchlv.exercises import regions
from scratchlv.exercises.authoring import Call, Pair
from scratchlv.exercises.mistakes import Mistake, read_mistake
from scratchlv.exercises.process import KINDS, Limits
from scratchlv.exercises.record import FILE as RECORD
from scratchlv.exercises.record import Record, read_record

HEAD = 200  # bytes of a file, in which its first line is
_MARK = re.compile(r"(?:#|//) scratchlv exercise (\w+), version (\d+)")
Case = Call | Pair
_NEEDED = ("title", "order", "sizes", "teaches", "hints")
_TEXT = (lambda it: isinstance(it, str), "a text")
_COUNT = (lambda it: type(it) is int and it > 0, "a whole number above 0")
_NUMBER = (lambda it: type(it) in (int, float) and it > 0, "a number above 0")
_TEXTS = (lambda it: isinstance(it, list) and all(isinstance(each, str) for each in it), "a list of texts")
_SIZES = (
    lambda it: isinstance(it, dict) and all(type(each) is int and each > 0 for each in it.values()),
    "whole numbers above 0, such as { N = 3, D = 5 }",
)
#: By key, what a value must be, as a test and in words.
_KNOWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("title", "teaches", "kind"), _TEXT),
    **dict.fromkeys(("order", "version", "minutes"), _COUNT),
    **dict.fromkeys(("tolerance", "seconds", "memory"), _NUMBER),
    **dict.fromkeys(("hints", "needs", "real"), _TEXTS),
    "sizes": _SIZES,
}


class Mark(NamedTuple):
    """Which exercise a learner's file was begun from, and which version of it."""

    name: str
    version: int


def mark_in(head: bytes) -> Mark | None:
    """What the first line of a file says; ``head`` are its first :data:`HEAD` bytes."""
    found = _MARK.match(head.decode("utf-8-sig", "replace"))
    return Mark(found[1], int(found[2])) if found else None


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise. What is in its files is read when it is asked for."""

    name: str
    folder: Path
    title: str
    order: int
    sizes: dict[str, int]
    teaches: str
    hints: tuple[str, ...]
    version: int = 1
    needs: tuple[str, ...] = ()
    kind: str = "numpy"
    minutes: int = 15
    tolerance: float = 1e-10
    limits: Limits = field(default_factory=Limits)
    real: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        return ".cu" if self.kind == "cuda" else ".py"

    @property
    def file_name(self) -> str:
        """What the learner's file is called."""
        return f"{self.order:02d}_{self.name}{self.suffix}"

    @property
    def mark(self) -> str:
        """The first line of the learner's file, by which it is known."""
        comment = "//" if self.kind == "cuda" else "#"
        return f"{comment} scratchlv exercise {self.name}, version {self.version}"

    @functools.cached_property
    def record(self) -> Record | None:
        """Of an exported course, what it has in place of solutions; None where the solution is in the folder."""
        path = self.folder / RECORD
        return read_record(path) if path.is_file() else None

    @functools.cached_property
    def marked(self) -> str:
        """The solution with its marks.

        Raises:
            UserError: the course has been exported.
        """
        if self.record is not None:
            raise UserError(f"the solution of {self.name} is not in this course: the teacher has it")
        return _read(self.folder / f"solution{self.suffix}")

    @functools.cached_property
    def bare_stub(self) -> str:
        """What the learner begins with, below the mark."""
        if self.record is not None:
            return _read(self.folder / f"stub{self.suffix}")
        return regions.stub(self.marked, f"{self.name}/solution{self.suffix}")

    @functools.cached_property
    def stub(self) -> str:
        """What the learner begins with."""
        return f"{self.mark}\n{self.bare_stub}"

    @functools.cached_property
    def solution(self) -> str:
        return regions.solution(self.marked, f"{self.name}/solution{self.suffix}")

    @functools.cached_property
    def mistakes(self) -> list[Mistake]:
        if self.record is not None:
            return self.record.mistakes
        return [read_mistake(path) for path in sorted((self.folder / "mistakes").glob("*.patch"))]

    def mistake(self, name: str) -> Mistake:
        return next(each for each in self.mistakes if each.name == name)

    @functools.cached_property
    def _cases(self) -> types.ModuleType:
        """Of an exported exercise it holds ``grade`` alone, and is there only if there is one."""
        path = self.folder / "cases.py"
        text = "" if self.record is not None and not path.exists() else _read(path)
        return module_of(text, path)

    @property
    def grade(self) -> Callable[..., None] | None:
        """The author's own check, if there is one: ``grade(learner, rng, **sizes)``."""
        return getattr(self._cases, "grade", None)

    def cases(self, seed: int, sizes: dict[str, int] | None = None) -> Iterator[Case]:
        """What is called, the simplest first."""
        yield from self._cases.cases(np.random.default_rng(seed), **(self.sizes if sizes is None else sizes))

    @property
    def launch(self) -> Path | None:
        """Of a kernel, the author's Python that calls it in the learner's process (:mod:`scratchlv.exercises.launching`)."""
        path = self.folder / "launch.py"
        return path if self.kind == "cuda" or path.is_file() else None


def read(folder: Path) -> Exercise:
    """
    Raises:
        UserError: the folder is no exercise, or its ``exercise.toml`` lacks something, with the name of it.
    """
    path = folder / "exercise.toml"
    try:
        said = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is no valid TOML: {error}") from None
    for name in _NEEDED:
        if name not in said:
            raise UserError(f"{path} lacks {name}; course/README.md says what it is")
    for name, value in said.items():
        if name not in _KNOWN:
            raise UserError(f"{path} has a {name!r}, which no exercise has; its keys are {', '.join(_KNOWN)}")
        is_right, what = _KNOWN[name]
        if not is_right(value):
            raise UserError(f"{path}: {name} is {value!r}, and should be {what}")
    if said.get("kind", "numpy") not in KINDS:
        raise UserError(f"{path}: kind is {said['kind']!r}, and should be one of {', '.join(KINDS)}")
    limits = Limits(float(said.pop("seconds", 10)), float(said.pop("memory", 2)))
    said |= {name: tuple(said.get(name, ())) for name in ("hints", "needs", "real")}
    return Exercise(folder.name, folder, limits=limits, **said)


def module_of(text: str, path: Path) -> types.ModuleType:
    """A trusted file of the course, run as a module.

    Raises:
        UserError: it cannot be run.
    """
    module = types.ModuleType(f"exercise_{path.parent.name}_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)
    except Exception as error:
        raise UserError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file, and an exercise has one") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8") from None
