"""A run is a folder: ``config.json`` (what was asked for and what was fitted), ``log.jsonl``, checkpoints, and ``best/`` after
validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scratchlv.errors import UserError, explain
from scratchlv.shell import command
from scratchlv.tasks import TASKS
from scratchlv.tasks.records import from_json, to_json
from scratchlv.training import checkpoint, old_runs

ENCODER = "encoder"


def encoder(folder: Path) -> Path:
    """The folder, within a run, of the captioner whose conv extractor it sees with: it is trained first."""
    return old_runs.renamed_folder(folder / ENCODER)


def refuse_taken(folder: Path) -> None:
    """
    Raises:
        UserError: the folder holds something (but its encoder, which is trained first): a run is never written over.
    """
    if folder.is_dir() and any(entry != encoder(folder) for entry in folder.iterdir()) or folder.is_file():
        way_out = "add --resume to go on with it, or choose" if (folder / "config.json").exists() else "choose"
        raise UserError(f"{folder} is not empty; {way_out} another --out")


def create(folder: Path, config: Any, fitted: Any) -> None:
    """Make a new run; an existing one is never touched.

    Raises:
        UserError: the folder holds something, or cannot be written.
    """
    refuse_taken(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(explain(error)) from None
    write(folder, config, fitted)


def write(folder: Path, config: Any, fitted: Any) -> None:
    """Write the records of a run.

    Raises:
        UserError: they cannot be written.
    """
    checkpoint.write_json_atomically(folder / "config.json", {"asked": to_json(config), "fitted": to_json(fitted)})


def read(folder: Path, *tasks: str) -> tuple[Any, Any]:
    """The ``Config`` and the ``Fitted`` of a run of one of these tasks; of any task when none is given.

    Raises:
        UserError: it is no run, or one of another task.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder} is not a run: it has no config.json; give the folder that 'scratchlv train' wrote")
    found = old_runs.renamed_config(checkpoint.read_json(path))
    task = found["asked"].get("task") if isinstance(found["asked"], dict) else None
    if task not in TASKS or tasks and task not in tasks:
        wanted = " or ".join(map(repr, tasks or TASKS))
        advice = f"; use it with: {command(TASKS[task].command, folder)}" if task in TASKS else "; give another"
        raise UserError(f"{folder} is a run of the task {task!r}, not {wanted}{advice}")
    module = TASKS[task].load()
    try:
        return from_json(module.Config, found["asked"]), from_json(module.Fitted, found.get("fitted"))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}; this run cannot be used: restore the file from a copy") from None


def load_weights(folder: Path, step: int | None = None) -> tuple[dict, dict]:
    """Tensors and state to use a run with: those of the best validation loss where there are any, else the newest."""
    best = folder / "best"
    if step is None and best.is_dir() and checkpoint.latest_steps(best):
        return checkpoint.load(best)
    return checkpoint.load(folder, step)
