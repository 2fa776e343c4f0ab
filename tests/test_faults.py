"""A little of ``tests/faults.py``, and whether it would find anything."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.fault_kinds import power, weights
from tests.fault_kinds.operations import watched


def replaced(folder, flush, flush_folder):
    """A file is written beside, and renamed; what is flushed on the way."""
    path, new = folder / "x", folder / "x.partial"
    with open(new, "wb") as file:
        file.write(b"new" * 100)
        file.flush()
        if flush:
            os.fsync(file.fileno())
    os.replace(new, path)
    if flush_folder:
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs to know which file a descriptor is of")
@pytest.mark.parametrize(
    ("flush", "flush_folder", "left"),
    [(True, True, {"new"}), (True, False, {"none", "new"}), (False, True, {"new", "other"})],
)
def test_the_power_takes_what_was_not_flushed_and_nothing_else(tmp_path, flush, flush_folder, left):
    home = tmp_path / "home"
    home.mkdir()
    with power.recorded(home, power._no_promises) as events:
        replaced(home, flush, flush_folder)
    found = set()
    for k in range(60):
        disk = power.Disk(os.path.realpath(home))
        for event in events:
            disk.happen(*event)
        names = {os.path.basename(path): content for path, content in disk.after_the_cut(np.random.default_rng(k))}
        found.add("none" if "x" not in names else "new" if names["x"] == b"new" * 100 else "other")
    assert found == left


def test_operations_on_other_folders_are_nobodys(tmp_path):
    told, (ours, others) = [], (tmp_path / "ours", tmp_path / "others")
    with watched(ours, before=lambda kind, path, more: told.append((kind, os.path.basename(path)))):
        for folder in (ours, others):
            folder.mkdir()
            (folder / "x").write_text("x")
            replaced(folder, True, True)
            (folder / "x").unlink()
    kinds = ["mkdir", "open", "write", "open", "write", "fsync", "replace", "fsync", "unlink"]
    assert [kind for kind, _ in told] == kinds
    assert open is not None and os.fsync.__module__ == "posix"


def test_the_features_of_pictures_outlast_a_power_cut(tmp_path):
    report = power.run_features(12, 0, tmp_path)
    assert report.tried == 12
    assert report.broken == []


@pytest.mark.slow
def test_weights_made_to_do_harm_are_refused_before_anything_is_carried_out(tmp_path):
    report = weights.run(tmp_path)
    assert report.tried >= 150
    assert report.broken == []


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [["kills", "power"], ["disks"], ["flips"], ["together"], ["fuzz"]], ids=" ".join)
def test_a_little_of_each_kind(tmp_path, kinds):
    import subprocess
    import sys

    words = [
        sys.executable,
        str(Path(__file__).with_name("faults.py")),
        "--n",
        "3",
        "--seed",
        "11",
        "--keep",
        str(tmp_path),
        "--only",
        *kinds,
    ]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 broken") >= len(kinds)
