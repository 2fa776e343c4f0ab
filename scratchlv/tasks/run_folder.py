"""A run is a folder: ``config.json`` (what was asked for), ``log.jsonl``, checkpoints, and ``best/`` after validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from scratchlv.errors import UserError
from scratchlv.tasks import TASKS
from scratchlv.training import checkpoint

Settings = TypeVar("Settings")


ENCODER = (
    "encoder"  #: the folder, within a run, of the captioner whose conv extractor it sees with: it is trained first
)


def refuse_taken(folder: Path) -> None:
    """
    Raises:
        UserError: the folder holds something (but its encoder, which is trained first): a run is never written over.
    """
    if folder.is_dir() and any(entry.name != ENCODER for entry in folder.iterdir()) or folder.is_file():
        way_out = "add --resume to go on with it, or choose" if (folder / "config.json").exists() else "choose"
        raise UserError(f"{folder} is not empty; {way_out} another --out")


def create(folder: Path, config: dict[str, Any]) -> None:
    """Make a new run; an existing one is never touched.

    Raises:
        UserError: the folder holds something, or cannot be written.
    """
    refuse_taken(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); choose another --out") from None
    checkpoint.write_json_atomically(folder / "config.json", config)


def read_config(folder: Path, *tasks: str) -> dict[str, Any]:
    """The config of a run of one of these tasks; of any task when none is given.

    Raises:
        UserError: it is no run, or one of another task.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a run: it has no config.json; give the folder that 'scratchlv train' wrote")
    config = checkpoint.read_json(folder / "config.json")
    task = config.get("task") if isinstance(config, dict) else None
    if task not in TASKS or tasks and task not in tasks:
        wanted = " or ".join(map(repr, tasks or TASKS))
        advice = f"; use it with: scratchlv {TASKS[task].command} {folder}" if task in TASKS else "; give another"
        raise UserError(f"{folder} is a run of the task {task!r}, not {wanted}{advice}")
    return config


def load_weights(folder: Path, step: int | None = None) -> tuple[dict, dict]:
    """Tensors and state to use a run with: those of the best validation loss where there are any, else the newest."""
    best = folder / "best"
    if step is None and best.is_dir() and checkpoint.latest_steps(best):
        return checkpoint.load(best)
    return checkpoint.load(folder, step)


def override(settings: Settings, assignments: list[str]) -> Settings:
    """``settings``, a dataclass, with ``key=value`` strings applied.

    Raises:
        UserError: a key that does not exist, or a value of the wrong kind.
    """
    kinds = get_type_hints(type(settings))
    changes = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key not in kinds:
            raise UserError(f"--set {assignment}: no such key; there are {', '.join(kinds)} (write key=value)")
        try:
            changes[key] = kinds[key](text)
        except ValueError:
            raise UserError(f"--set {assignment}: {key} is {kinds[key].__name__}, not {text!r}") from None
    return dataclasses.replace(settings, **changes)  # type: ignore[type-var]
