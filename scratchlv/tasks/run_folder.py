"""A run is a folder: ``config.json`` (what was asked for and what was fitted), ``log.jsonl``, checkpoints, and ``best/`` after
validation.

``config.json`` holds the SHA-256 of what it says, and each checkpoint a copy of it: a run is never used or resumed as another one
than was trained. Where the file is lost, the copy takes its place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from scratchlv.cache import alone_in
from scratchlv.errors import UserError, explain, shortened
from scratchlv.parallel.team import team
from scratchlv.shell import command
from scratchlv.tasks import TASKS
from scratchlv.tasks.asked_again import MAY_CHANGE
from scratchlv.tasks.records import from_json, to_json
from scratchlv.training import checkpoint, old_runs
from scratchlv.training.trainer import averaged

ENCODER = "encoder"
KEPT = "config"  # what the copy is called in the state of a checkpoint
_CONFIG = "config.json"
_NAMED = 3  # of what differs, at the most
_held: set[Path] = set()  # folders that this process is training into


def encoder(folder: Path) -> Path:
    """The folder, within a run, of the captioner whose conv extractor it sees with: it is trained first."""
    return old_runs.renamed_folder(folder / ENCODER)


def refuse_taken(folder: Path) -> None:
    """
    Raises:
        UserError: the folder holds something (but its encoder, which is trained first, and what a killed process was still
            writing): a run is never written over.
    """
    if folder.is_file() or folder.is_dir() and any(map(_counts, folder.iterdir())):
        way_out = "add --resume to go on with it, or choose" if is_run(folder) else "choose"
        raise UserError(f"{folder} is not empty; {way_out} another --out")


def _counts(entry: Path) -> bool:
    return entry != encoder(entry.parent) and not checkpoint.is_unfinished(entry)


def is_run(folder: Path) -> bool:
    """Whether it is a run, perhaps one whose config has to be taken from a checkpoint."""
    return (folder / _CONFIG).exists() or _copy(folder) is not None


@contextmanager
def training_in(folder: Path, new: bool) -> Iterator[None]:
    """Inside the ``with`` block no other process trains into ``folder``, which is made for a ``new`` run; a killed one is out.

    Of processes that work together the first holds it for all.

    Raises:
        UserError: another one is at it; or the folder of a new run holds something, or cannot be made.
    """
    with ExitStack() as held:
        team().first(lambda: held.enter_context(_held_alone(folder, new)))
        yield


@contextmanager
def _held_alone(folder: Path, new: bool) -> Iterator[None]:
    if folder in _held or not new and not folder.is_dir():
        yield
        return

    def refuse() -> None:
        raise UserError(f"{folder} is being trained into by another process; wait for it, or choose another --out")

    if new:
        refuse_taken(folder)  # before the data is made ready, which can take minutes
        _make(folder)
    with alone_in(folder, while_waiting=refuse):
        if new:
            refuse_taken(folder)
        _held.add(folder)
        try:
            yield
        finally:
            _held.discard(folder)
            if new and not any(folder.iterdir()):  # nothing was begun
                folder.rmdir()


def _make(folder: Path) -> None:
    try:
        checkpoint.make_folder(folder)
    except OSError as error:
        raise UserError(explain(error)) from None


def create(folder: Path, config: Any, fitted: Any) -> None:
    """Make a new run; an existing one is never touched.

    Raises:
        UserError: the folder holds something, or cannot be written.
    """
    refuse_taken(folder)
    _make(folder)
    write(folder, config, fitted)


def write(folder: Path, config: Any, fitted: Any) -> None:
    """Write the records of a run.

    Raises:
        UserError: they cannot be written.
    """
    found = records_of(config, fitted)
    checkpoint.write_json_atomically(folder / _CONFIG, found | {"sha256": _sha256(found)})


def restore(folder: Path, config: Any, fitted: Any) -> None:
    """Write the records of a run where they were lost."""
    if not (folder / _CONFIG).exists():
        write(folder, config, fitted)


def records_of(config: Any, fitted: Any) -> dict[str, Any]:
    """The two records as JSON has them."""
    return {"asked": to_json(config), "fitted": to_json(fitted)}


def read(folder: Path, *tasks: str) -> tuple[Any, Any]:
    """The ``Config`` and the ``Fitted`` of a run of one of these tasks; of any task when none is given.

    Raises:
        UserError: it is no run, one of another task, or its config was changed or damaged.
    """
    path, copy = folder / _CONFIG, _copy(folder)
    if not path.is_file() and copy is None:
        raise UserError(
            f"{folder} is not a run: it has no config.json{_not_begun(folder)}; give the folder that 'scratchlv train' wrote"
        )
    way_out = (
        "restore the file from a copy" if copy is None else "delete it: the copy in the newest checkpoint is then used"
    )
    if not path.is_file():
        assert copy is not None
        return _records(path, copy, tasks, way_out)
    try:
        found = checkpoint.read_json(path)
    except UserError as error:
        raise UserError(str(error) if copy is None else f"{str(error).rpartition(': ')[0]}; {way_out}") from None
    sha256 = found.pop("sha256", None) if isinstance(found, dict) else None
    found = old_runs.renamed_config(found)
    if copy is not None and not (isinstance(found["asked"], dict) and "task" in found["asked"]):
        raise UserError(f"{path} does not say what a run was asked for; {way_out}")
    differing = [] if copy is None else _differences(found, copy)
    damaged = found.keys() - {"asked", "fitted"} or sha256 not in (None, _sha256(found))
    if damaged and not differing:
        raise UserError(f"{path} was changed or damaged (it does not match its SHA-256); {way_out}")
    if differing:
        more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
        raise UserError(
            f"{path} is not what the run was trained with: {'; '.join(differing[:_NAMED])}{more}. Put that right, or {way_out}"
        )
    return _records(path, found, tasks, way_out)


def _records(path: Path, found: dict[str, Any], tasks: tuple[str, ...], way_out: str) -> tuple[Any, Any]:
    task = found["asked"].get("task") if isinstance(found["asked"], dict) else None
    known = isinstance(task, str) and task in TASKS
    if not isinstance(task, str) or not known or tasks and task not in tasks:
        wanted = " or ".join(map(repr, tasks or TASKS))
        advice = f"; use it with: {command(TASKS[str(task)].command, path.parent)}" if known else "; give another"
        raise UserError(f"{path.parent} is a run of the task {shortened(task)}, not {wanted}{advice}")
    module = TASKS[task].load()
    try:
        return from_json(module.Config, found["asked"]), from_json(module.Fitted, found.get("fitted"))
    except (ValueError, UserError) as error:
        raise UserError(f"{path}: {error}; this run cannot be used: {way_out}") from None


def _copy(folder: Path) -> dict[str, Any] | None:
    """The records that the newest checkpoint holds; None if there are none."""
    kept = (checkpoint.newest_state(folder) or {}).get(KEPT)
    return kept if isinstance(kept, dict) and isinstance(kept.get("asked"), dict) else None


def _not_begun(folder: Path) -> str:
    unfinished = folder.is_dir() and any(map(checkpoint.is_unfinished, folder.iterdir()))
    return (
        " yet (it was ended before its training began: the same command without --resume begins again)"
        if unfinished
        else ""
    )


def _differences(found: dict[str, Any], copy: dict[str, Any]) -> list[str]:
    """What the config says, and what the copy; settings that may change left out, and what one of them does not speak of."""
    said, kept = _flat(found), _flat(copy)
    return [
        f"{name} is {shortened(said[name])}, and was {shortened(value)}"
        for name, value in kept.items()
        if name in said and name not in MAY_CHANGE and said[name] != value
    ]


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """All values by name; of lists and tables each element by itself, so that one word can be named."""
    values: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                add(key if name in ("", "settings") else f"{name}[{shortened(key)}]", each)
        elif isinstance(value, list):
            values[f"the length of {name}"] = len(value)
            values.update({f"{name}[{i}]": each for i, each in enumerate(value)})
        else:
            values[name] = value

    for part in ("asked", "fitted"):
        add("", found.get(part))
    return values


def _sha256(found: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def load_weights(folder: Path, step: int | None = None) -> tuple[dict, dict]:
    """Tensors and state to use a run with: those of the best validation loss where there are any, else the newest.

    Where weights were averaged, they are the mean.
    """
    best = folder / "best"
    if step is None and best.is_dir() and checkpoint.latest_steps(best):
        return checkpoint.load(best)
    tensors, state = checkpoint.load(folder, step)
    return averaged(tensors), state
