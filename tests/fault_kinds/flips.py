"""A bit that a disk has changed: in a checkpoint, a config, a log, a cached feature."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scratchlv.errors import UserError
from scratchlv.tasks import run_folder
from scratchlv.training import checkpoint
from scratchlv.training.log import read_log
from scratchlv.vision import features
from tests.fault_kinds.power import Mean
from tests.fault_kinds.report import Report


def run(n: int, seed: int, root: Path, undisturbed: dict[str, Path]) -> list[Report]:
    """``n`` bits of each are changed, one at a time."""
    folder = root / "flipped"
    shutil.copytree(undisturbed["caption"], folder)
    rng = np.random.default_rng([seed, 3])
    reports = [_checkpoints(n, rng, folder), _configs(n, rng, folder), _logs(n, rng, folder), _features(n, rng, root)]
    shutil.rmtree(folder)
    return reports


def _flipped(
    n: int,
    rng: np.random.Generator,
    files: list[Path],
    look: Callable[[Path, int], tuple[str, str | None]],
    report: Report,
) -> Report:
    """Change a bit of one of the files, ``look`` at what is said then, and change it back; ``n`` times."""
    for _ in range(n):
        path = files[rng.integers(len(files))]
        whole = path.read_bytes()
        at, bit = int(rng.integers(len(whole))), int(rng.integers(8))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        outcome, broken = look(path, at)
        report.note(outcome, broken and f"{path.name}, bit {bit} of byte {at}: {broken}")
        path.write_bytes(whole)
    return report


def _checkpoints(n: int, rng: np.random.Generator, folder: Path) -> Report:
    newest, before = checkpoint.latest_steps(folder)
    right = {step: checkpoint.load(folder, step) for step in (newest, before)}

    def same(found: tuple, step: int) -> bool:
        tensors, state = right[step]
        return found[1] == state and all(found[0][name].tobytes() == value.tobytes() for name, value in tensors.items())

    def look(path: Path, at: int) -> tuple[str, str | None]:
        try:
            return "without effect", None if same(checkpoint.load(folder), newest) else "used as it is"
        except checkpoint.CheckpointError as error:
            if path.name not in str(error) or f"--step {before}" not in str(error):
                return "found", f"it says: {error}"
            return "found, and the one before offered", None if same(
                checkpoint.load(folder, before), before
            ) else "the one before"

    files = [folder / f"checkpoint-{newest:06d}{suffix}" for suffix in (".safetensors", ".json")]
    return _flipped(n, rng, files, look, Report("bits flipped in a checkpoint"))


def _configs(n: int, rng: np.random.Generator, folder: Path) -> Report:
    right = [run_folder.records_of(*run_folder.read(folder))]

    def look(path: Path, at: int) -> tuple[str, str | None]:
        try:
            found = run_folder.records_of(*run_folder.read(folder))
        except UserError as error:
            return "found", None if "delete it" in str(error) else f"no way out: {error}"
        return "without effect", None if found == right[0] else "used as it is"

    return _flipped(n, rng, [folder / "config.json"], look, Report("bits flipped in config.json"))


def _logs(n: int, rng: np.random.Generator, folder: Path) -> Report:
    right = len(read_log(folder / "log.jsonl"))

    def look(path: Path, at: int) -> tuple[str, str | None]:
        lost = right - len(read_log(path))
        return f"{lost} lines lost", None if lost <= 2 else f"{lost} lines lost"  # a line end joins two

    return _flipped(n, rng, [folder / "log.jsonl"], look, Report("bits flipped in log.jsonl"))


def _features(n: int, rng: np.random.Generator, root: Path) -> Report:
    from PIL import Image

    pictures, cache = root / "pictures-of-flips", root / "features-of-flips"
    pictures.mkdir()
    paths = [pictures / f"{k}.png" for k in range(8)]
    for k, path in enumerate(paths):
        Image.new("RGB", (8, 8), (9 * k, 2 * k, 200 - k)).save(path)
    right = np.asarray(features.extract(paths, Mean(), cache)).tobytes()
    files = [path for path in cache.rglob("*") if path.is_file()]

    def look(path: Path, at: int) -> tuple[str, str | None]:
        kept = {file: file.read_bytes() for file in files if file != path}
        said = path.name
        try:
            found = features.extract(paths, Mean(), cache)
        except UserError:  # the checksum of a picture in the list is another: taken back, and right when started again
            said, found = f"{path.name}, said once", features.extract(paths, Mean(), cache)
        same = np.asarray(found).tobytes() == right
        for file, content in kept.items():
            file.write_bytes(content)
        return said, None if same else "used as it is"

    return _flipped(n, rng, files, look, Report("bits flipped in cached features"))
