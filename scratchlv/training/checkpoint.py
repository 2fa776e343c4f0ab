"""Checkpoints that survive a power cut, a full disk and a flipped bit.

A checkpoint is two files in the folder of its run: ``checkpoint-000123.safetensors`` holds the arrays, and
``checkpoint-000123.json`` the state (``state["step"]`` is the number), the SHA-256 of the first file, and that of
the state. Both are written under another name, flushed to the disk, and renamed; the JSON comes last: it is what
makes the checkpoint exist, so the rename before it is flushed, too. Loading checks every byte, and never falls back to
another checkpoint silently.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from scratchlv.arrays import Array
from scratchlv.device import place
from scratchlv.errors import UserError, disk_is_full

_NAME = re.compile(r"checkpoint-(\d{6,})\.json")
_UNFINISHED = ".partial"  # what the name of a file ends in while it is written


class CheckpointError(UserError):
    """A checkpoint is damaged; the message names the file, the damage, and the checkpoint to go back to."""


def save(folder: str | Path, tensors: dict[str, np.ndarray], state: dict[str, Any], keep: int = 2) -> Path:
    """Write the checkpoint of step ``state["step"]`` and return the path of its tensors.

    The ``keep`` newest checkpoints stay. Those of later steps are removed: to save an earlier step means that the
    run was taken back to it. If anything fails, the checkpoints that were there are as they were.

    Args:
        tensors: arrays of any shape and memory layout, by name.
        state: what JSON can hold, with the integer ``"step"``.

    Raises:
        UserError: the files cannot be written, because the disk is full for example.
        ValueError: ``state`` has no step, or holds what JSON cannot; an array is not of numbers.
    """
    folder, step = Path(folder), _step_of(state)
    if keep < 1:
        raise ValueError(f"keep must be at least 1, not {keep}")
    try:
        data = safetensors.save({name: _plain(array) for name, array in tensors.items()})
    except SafetensorError as error:
        raise ValueError(f"a checkpoint cannot hold such arrays: {error}") from None
    text = _describe(state, data)
    tensors_path, json_path = _paths(folder, step)
    with _writing(json_path, len(data)):
        make_folder(folder)
        with _written_beside(tensors_path, data) as new_tensors, _written_beside(json_path, text) as new_json:
            if json_path.exists():  # an old checkpoint of this step would describe the wrong tensors
                json_path.unlink()
                _sync_folder(folder)
            os.replace(new_tensors, tensors_path)
            _sync_folder(folder)
            os.replace(new_json, json_path)
            _sync_folder(folder)
    _prune(folder, step, keep)
    return tensors_path


def load(path: str | Path, step: int | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The ``(tensors, state)`` of a run's newest checkpoint, or of the one of ``step``.

    ``path`` is the folder of the run, or one of the two files of a checkpoint.

    Raises:
        CheckpointError: the checkpoint is truncated or changed; the message offers the previous one.
        UserError: ``path`` is no run, or has no such checkpoint.
    """
    path = Path(path)
    if not path.is_dir() and path.suffix in (".json", ".safetensors"):
        named = _NAME.fullmatch(path.with_suffix(".json").name)
        if named is None:
            raise UserError(f"{path} is not a checkpoint: give a file named like checkpoint-000123.safetensors")
        path, step = path.parent, int(named[1])
    steps = latest_steps(path)
    if not steps:
        raise UserError(_why_no_checkpoint(path))
    if step is None:
        step = steps[0]
    if step not in steps:
        there = ", ".join(map(str, steps))
        raise UserError(f"{path} has no checkpoint of step {step}: it has those of the steps {there}")
    try:
        return _read(*_paths(path, step))
    except _Damaged as damage:
        raise CheckpointError(f"{damage}; {_way_back(path, step, steps)}") from None


def restore(arrays: dict[str, Array], tensors: dict[str, np.ndarray], where: Path) -> None:
    """Copy the tensors of a checkpoint into the ``arrays`` of the same names, wherever they are.

    Raises:
        UserError: one is missing or has another shape; ``where`` names the checkpoint.
    """
    for name, array in arrays.items():
        found = tensors.get(name)
        if found is None or found.shape != array.shape:
            has = "is missing" if found is None else f"has shape {found.shape}, not {array.shape}"
            raise UserError(f"{where}: {name} {has}; the checkpoint belongs to another model")
        array[...] = place(found, array)


def latest_steps(folder: str | Path) -> list[int]:
    """The steps that have a checkpoint in ``folder``, newest first; none for a folder that does not exist."""
    folder = Path(folder)
    names = (_NAME.fullmatch(p.name) for p in folder.iterdir()) if folder.is_dir() else ()
    return sorted((int(name[1]) for name in names if name), reverse=True)


def newest_state(folder: str | Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint in ``folder`` whose state is whole; None if there is none."""
    folder = Path(folder)
    for step in latest_steps(folder):
        with contextlib.suppress(_Damaged):
            return _read_state(_paths(folder, step)[1])[0]
    return None


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file: after a crash it is the old one or the new one, never half of one.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    with _writing(path, len(data)):
        make_folder(path.parent)
        with _written_beside(path, data) as new:
            os.replace(new, path)
        _sync_folder(path.parent)


def write_json_atomically(path: str | Path, obj: Any) -> None:
    """:func:`write_atomically` of ``obj`` as JSON."""
    whole = json.dumps(obj, indent=1, ensure_ascii=False) + "\n"
    # JSON's own escapes, of bytes of a path that are not UTF-8
    write_atomically(path, whole.encode(errors="backslashreplace"))


def is_unfinished(path: Path) -> bool:
    """Whether it is a file that a process was writing here when it was killed."""
    return path.name.startswith(".") and path.name.endswith(_UNFINISHED)


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises:
        UserError: the file is missing, cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{path} is not valid JSON ({why}): restore it from a copy, or write it again") from None


# --- what is in the files ------------------------------------------------------------------------------------------


class _Damaged(Exception):
    """One clause that names the file and what is wrong with it."""


def _plain(array: np.ndarray) -> np.ndarray:
    """The array in C order and native bytes: safetensors' writer would take the memory as it lies."""
    array = np.asarray(array)
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=None)


def _step_of(state: dict[str, Any]) -> int:
    step = state.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise ValueError(f'state["step"] must be an integer, 0 or more, not {step!r}')
    return step


def _describe(state: dict[str, Any], data: bytes) -> bytes:
    try:
        state = json.loads(json.dumps(state))  # as it will be read: tuples are lists, keys are strings
    except TypeError as error:
        raise ValueError(f"the state of a checkpoint must be JSON: {error}") from None
    description = {"state": state, "state_sha256": _state_sha256(state), "tensors_sha256": _sha256(data)}
    return (json.dumps(description, indent=1) + "\n").encode()


def _read_state(json_path: Path) -> tuple[dict[str, Any], str]:
    """The state, and the SHA-256 of the tensors that belong to it."""
    try:
        description = json.loads(json_path.read_bytes())
        state, state_sha256 = description["state"], description["state_sha256"]
        tensors_sha256 = description["tensors_sha256"]
        matches = _state_sha256(state) == state_sha256
    except OSError as error:
        raise _Damaged(f"{json_path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _Damaged(f"{json_path} is damaged (it is not the JSON of a checkpoint)") from None
    if not matches:
        raise _Damaged(f"{json_path} is damaged (its state does not match its SHA-256)")
    if not isinstance(state, dict) or state.get("step") != int(json_path.stem.rpartition("-")[2]):
        raise _Damaged(f"{json_path} is the state of another step")
    return state, tensors_sha256


def _read(tensors_path: Path, json_path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    state, tensors_sha256 = _read_state(json_path)
    try:
        data = tensors_path.read_bytes()
    except OSError as error:
        raise _Damaged(f"{tensors_path} cannot be read ({error.strerror})") from None
    if _sha256(data) != tensors_sha256:
        raise _Damaged(f"{tensors_path} is damaged (its {len(data):,} bytes do not match its SHA-256)")
    try:
        # copies: the arrays that safetensors returns may be read-only views of `data`
        return {name: np.array(array) for name, array in safetensors.load(data).items()}, state
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # of types and shapes that NumPy does not know
        raise _Damaged(f"{tensors_path} is not a safetensors file of plain numbers ({error})") from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _state_sha256(state: Any) -> str:
    return _sha256(json.dumps(state, sort_keys=True).encode())


# --- files and folders ---------------------------------------------------------------------------------------------


def _paths(folder: Path, step: int) -> tuple[Path, Path]:
    return folder / f"checkpoint-{step:06d}.safetensors", folder / f"checkpoint-{step:06d}.json"


@contextlib.contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """Write ``data`` to a name beside ``path``, safely on the disk; what was not renamed by the end is removed."""
    new = path.with_name(f".{path.name}{_UNFINISHED}")
    try:
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield new
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(path: Path, n_bytes: int) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into a sentence for the user."""
    try:
        yield
    except OSError as error:
        if disk_is_full(error):
            why = f"the disk is full; free at least {max(1, n_bytes // 2**20)} MiB"
        else:
            why = f"{error.strerror or error}; check the folder"
        standing = latest_steps(path.parent) if _NAME.fullmatch(path.name) else []
        kept = f" (the checkpoint of step {standing[0]} is intact)" if standing else ""
        raise UserError(f"{path} could not be written: {why} and try again{kept}") from error


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that they outlast a power cut."""
    new = [each for each in (folder, *folder.parents) if not each.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        with contextlib.suppress(OSError):  # of a folder above that may not be read
            _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the renames themselves, where the system lets a folder be opened (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prune(folder: Path, step: int, keep: int) -> None:
    """Remove all but the ``keep`` newest up to ``step``, and what an interrupted save left behind."""
    stay = [s for s in latest_steps(folder) if s <= step][:keep]
    for gone in set(latest_steps(folder)) - set(stay):
        _paths(folder, gone)[1].unlink(missing_ok=True)  # the JSON first: without it the checkpoint is no more
    for tensors_path in folder.glob("checkpoint-*.safetensors"):
        if _NAME.fullmatch(tensors_path.with_suffix(".json").name) and not tensors_path.with_suffix(".json").exists():
            tensors_path.unlink(missing_ok=True)
    for partial in folder.glob(f".checkpoint-*{_UNFINISHED}"):
        partial.unlink(missing_ok=True)


def _why_no_checkpoint(path: Path) -> str:
    if not path.exists():
        return f"{path} does not exist: give the folder of a run"
    if not path.is_dir():
        return f"{path} is not a folder: give the folder of a run"
    if not (path / "config.json").exists():
        return f"{path} is not the folder of a run (it holds no config.json): give one that `scratchlv train` wrote"
    return f"{path} has no checkpoint yet: train for longer"


def _way_back(folder: Path, step: int, steps: list[int]) -> str:
    earlier = [s for s in steps if s < step]
    if not earlier:
        return "there is no earlier checkpoint in this run: train again, or restore the file from a copy"
    newest = _paths(folder, step)[1].name
    return f"use the previous one with --step {earlier[0]}, or delete {newest} to go on from there"
