"""Power loss: of all that a process told the system, a disk holds what was flushed, and whatever else it pleases.

A run is recorded, operation by operation. Then the power goes at a random one. What is certain to be there:

    the content of a file    as it was at its last fsync; since then anything: the old, the new, a part of it, zeros
    the names in a folder    as they were at the folder's last fsync; since then any of the changes, each or none

A rename is one change, and so is the making of a file or folder. No order is taken for granted: a disk may keep a later change
and lose an earlier one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchlv.errors import UserError
from scratchlv.training import checkpoint
from scratchlv.vision import features
from tests.fault_kinds import tiny
from tests.fault_kinds.operations import watched
from tests.fault_kinds.report import Report

Event = tuple[str, str, Any]


class _File:
    def __init__(self) -> None:
        self.now, self.flushed = b"", b""


class Disk:
    """What is certain of a disk, and what is not, after some events."""

    def __init__(self, root: str) -> None:
        self.names: dict[str, _File | None] = {root: None}  # None: a folder
        self.flushed: dict[str, _File | None] = dict(self.names)
        self.changes: list[tuple[str, str, str | None, _File | None]] = []  # folder, name, name before, what

    def happen(self, kind: str, path: str, more: Any) -> None:
        folder = os.path.dirname(path)
        if kind == "open" and path not in self.names:
            self._change(folder, path, None, _File())
        elif kind == "content":
            self.names[path].now = more  # type: ignore[union-attr]
        elif kind == "mkdir":
            self._change(folder, path, None, None)
        elif kind in ("unlink", "rmdir"):
            self.changes.append((folder, "", path, None))
            del self.names[path]
        elif kind == "replace":
            file = self.names.pop(path)
            self._change(folder, more, path, file)
        elif kind == "fsync" and self.names.get(path) is not None:
            self.names[path].flushed = self.names[path].now  # type: ignore[union-attr]
        elif kind == "fsync":
            for change in [change for change in self.changes if change[0] == path]:
                self._keep(self.flushed, change)
            self.changes = [change for change in self.changes if change[0] != path]

    def _change(self, folder: str, name: str, before: str | None, what: _File | None) -> None:
        self.names[name] = what
        self.changes.append((folder, name, before, what))

    @staticmethod
    def _keep(names: dict[str, _File | None], change: tuple[str, str, str | None, _File | None]) -> None:
        _, name, before, what = change
        if before is not None:
            names.pop(before, None)
        if name:
            names[name] = what

    def after_the_cut(self, rng: np.random.Generator) -> Iterator[tuple[str, bytes | None]]:
        """Path and content of what is left; None of a folder. Folders come before what is in them."""
        names, likely = dict(self.flushed), rng.choice([0.0, 0.5, 1.0])
        for change in self.changes:
            if rng.random() < likely:
                self._keep(names, change)
        for path in sorted(names):
            if all(parent in names for parent in _between(path, next(iter(self.flushed)))):
                file = names[path]
                yield path, None if file is None else _content(file, rng)


def _between(path: str, root: str) -> Iterator[str]:
    while path != root:
        path = os.path.dirname(path)
        yield path


def _content(file: _File, rng: np.random.Generator) -> bytes:
    if file.now == file.flushed:
        return file.now
    length = int(rng.integers(len(file.now) + 1))
    return (file.flushed, file.now, file.now[:length], file.now[:length] + bytes(len(file.now) - length))[
        rng.integers(4)
    ]


@contextmanager
def recorded(folder: Path, promises: Callable[[list[Event]], Any]) -> Iterator[list[Event]]:
    events: list[Event] = []
    with watched(folder, after=lambda *event: events.append(event)), promises(events):
        yield events


@contextmanager
def _promises_of_checkpoints(events: list[Event]) -> Iterator[None]:
    """A checkpoint whose ``save`` has returned is promised to be there."""
    save = checkpoint.save

    def promising(folder: Path, tensors: Any, state: Any, keep: int = 2) -> Path:
        path = save(folder, tensors, state, keep)
        events.append(("promise", os.path.realpath(folder), state["step"]))
        return path

    checkpoint.save = promising  # type: ignore[assignment]
    try:
        yield
    finally:
        checkpoint.save = save


class Cut(NamedTuple):
    """Where the power went, and the last promise of each folder until then."""

    at: int
    promised: dict[str, int]


def cut(events: list[Event], root: Path, to: Path, rng: np.random.Generator) -> Cut:
    """Lay into ``to`` what a disk may hold of ``root`` after the power went at a random event."""
    at, disk, promised = int(rng.integers(len(events) + 1)), Disk(os.path.realpath(root)), {}
    for kind, path, more in events[:at]:
        if kind == "promise":
            promised[os.path.relpath(path, os.path.realpath(root))] = more
        else:
            disk.happen(kind, path, more)
    for path, content in disk.after_the_cut(rng):
        place = to / os.path.relpath(path, os.path.realpath(root))
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.write_bytes(content)
    return Cut(at, promised)


def run(n: int, seed: int, root: Path, undisturbed: dict[str, Path]) -> Report:
    """``n`` runs lose their power: each checkpoint that was promised loads, and they go on to the same bits."""
    report = Report("power lost while training")
    traces = {}
    for task in tiny.RUNS:
        home = root / f"recorded-{task}"
        home.mkdir()
        with recorded(home, _promises_of_checkpoints) as events:
            tiny.train(home / "run", task)
        traces[task] = (home, events)
        shutil.rmtree(home / "run")
    for k in range(n):
        rng = np.random.default_rng([seed, 1, k])
        task = list(tiny.RUNS)[k % len(tiny.RUNS)]
        home, events = traces[task]
        to = root / f"cut-{k}"
        where = cut(events, home, to, rng)
        broken = _broken(to, where, undisturbed[task], task)
        report.note(task, broken and f"seed {seed}, power {k}, {task}, event {where.at} of {len(events)}: {broken}")
        if broken is None:
            shutil.rmtree(to, ignore_errors=True)
    return report


def _broken(to: Path, where: Cut, whole: Path, task: str) -> str | None:
    for folder, step in where.promised.items():
        try:
            found = checkpoint.load(to / folder)[1]["step"]
        except UserError as error:
            return f"the checkpoint of step {step} was promised, and {error}"
        if found < step:
            return f"the checkpoint of step {step} was promised, and {found} is the newest"
    to.mkdir(exist_ok=True)
    status, said = tiny.in_child(lambda: tiny.go_on(to / "run", task))
    if status:
        return f"going on: {tiny.last_line(said)}"
    return tiny.difference(whole, to / "run")


# --- the cache of features -------------------------------------------------------------------------------------------


class Mean:
    """Features that are quick to make, and tell which picture they are of."""

    name, checksum, size, crop, shape = "mean", "a" * 32, (4, 4), None, (2, 3)

    def features(self, images: np.ndarray) -> np.ndarray:
        mean = images.mean((1, 2))
        return np.stack([mean, 255 - mean], 1)


@contextmanager
def _no_promises(events: list[Event]) -> Iterator[None]:
    yield


def run_features(n: int, seed: int, root: Path) -> Report:
    """The cache of features loses its power: what it says afterwards is right, whatever is left of it."""
    from PIL import Image

    report = Report("power lost while features are stored")
    pictures, home = root / "pictures", root / "recorded-features"
    pictures.mkdir()
    paths = [pictures / f"{k}.png" for k in range(10)]
    for k, path in enumerate(paths):
        Image.new("RGB", (8, 8), (k, 2 * k, 200 - k)).save(path)
    before, features._BATCH = features._BATCH, 3
    try:
        home.mkdir()
        with recorded(home, _no_promises) as events:
            for part in (paths[:4], paths):
                right = np.asarray(features.extract(part, Mean(), home))
        for k in range(n):
            rng, to = np.random.default_rng([seed, 2, k]), root / "cut-features"
            shutil.rmtree(to, ignore_errors=True)
            where = cut(events, home, to, rng)
            to.mkdir(exist_ok=True)
            order = rng.permutation(len(paths))
            found = np.asarray(features.extract([paths[i] for i in order], Mean(), to))
            same = found.tobytes() == right[order].tobytes()
            report.note("cut", None if same else f"seed {seed}, features {k}, event {where.at}: other features")
    finally:
        features._BATCH = before
    return report
