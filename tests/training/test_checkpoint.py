"""Checkpoints: every byte comes back, damage is named, and a failed save harms nothing."""

import builtins
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.training import checkpoint
from scratchlv.training.checkpoint import CheckpointError, latest_steps, load, read_json, save, write_json_atomically


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"a.W": rng.standard_normal((3, 5)).astype(np.float32), "a.b": rng.standard_normal(7)}


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_everything_comes_back(tmp_path):
    given = {
        **tensors(),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.float32),
        "whole": np.arange(6, dtype=np.int64).reshape(2, 3),
        "flags": np.array([True, False]),
        "special": np.array([np.nan, -0.0, np.inf], np.float32),
    }
    state = {"step": 12, "rng": np.random.default_rng(1).bit_generator.state, "best": float("inf"), "3": [1, None, 0.1]}
    path = save(tmp_path / "new" / "run", given, state)
    assert path.name == "checkpoint-000012.safetensors"
    found, found_state = load(tmp_path / "new" / "run")
    assert found.keys() == given.keys()
    for name, array in given.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name
        found[name][...] = 0  # it can be trained further: not a read-only view
    assert found_state == state


def test_memory_layout_does_not_matter(tmp_path):
    """safetensors' own NumPy writer stores transposed and strided arrays as they lie in memory."""
    grid = np.arange(24, dtype=np.float32).reshape(4, 6)
    given = {"transposed": grid.T, "strided": grid[:, ::2], "reversed": grid[::-1], "big endian": grid.astype(">f4")}
    save(tmp_path, given, {"step": 1})
    found, _ = load(tmp_path)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_state_keys_and_tuples_come_back_as_json_has_them(tmp_path):
    save(tmp_path, tensors(), {"step": 1, "by number": {10: "x", 9: "y"}, "pair": (1, 2)})
    assert load(tmp_path)[1] == {"step": 1, "by number": {"10": "x", "9": "y"}, "pair": [1, 2]}


def test_the_newest_are_kept(tmp_path):
    for step in (5, 10, 1_000_000, 1_000_001):
        save(tmp_path, tensors(step), {"step": step}, keep=2)
    assert latest_steps(tmp_path) == [1_000_001, 1_000_000]
    assert len(files(tmp_path)) == 4
    np.testing.assert_array_equal(load(tmp_path)[0]["a.W"], tensors(1_000_001)["a.W"])
    np.testing.assert_array_equal(load(tmp_path, step=1_000_000)[0]["a.W"], tensors(1_000_000)["a.W"])
    save(tmp_path, tensors(), {"step": 1_000_002}, keep=1)
    assert latest_steps(tmp_path) == [1_000_002]


def test_a_checkpoint_file_can_be_named(tmp_path):
    first, _ = save(tmp_path, tensors(1), {"step": 1}), save(tmp_path, tensors(2), {"step": 2})
    assert load(first)[1] == {"step": 1}
    assert load(first.with_suffix(".json"))[1] == {"step": 1}
    with pytest.raises(UserError, match="weights.safetensors is not a checkpoint"):
        load(tmp_path / "weights.safetensors")


def test_the_same_step_again_replaces_it(tmp_path):
    save(tmp_path, tensors(1), {"step": 7, "loss": 1.0})
    save(tmp_path, tensors(2), {"step": 7, "loss": 2.0})
    found, state = load(tmp_path)
    assert state["loss"] == 2.0
    np.testing.assert_array_equal(found["a.W"], tensors(2)["a.W"])


def test_going_back_forgets_what_came_after(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, tensors(step), {"step": step}, keep=3)
    save(tmp_path, tensors(), {"step": 2, "again": True}, keep=3)
    assert latest_steps(tmp_path) == [2, 1]
    assert load(tmp_path)[1] == {"step": 2, "again": True}


# --- damage --------------------------------------------------------------------------------------------------------


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


@pytest.fixture
def two(tmp_path) -> Path:
    save(tmp_path, tensors(100), {"step": 100, "loss": 0.5})
    save(tmp_path, tensors(200), {"step": 200, "loss": 0.25})
    return tmp_path


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_truncation_at_any_place_is_found(two, suffix):
    path = two / f"checkpoint-000200{suffix}"
    whole = path.read_bytes()
    # the last byte of the JSON is a line end, which carries nothing
    for length in {0, 1, 8, len(whole) // 2, len(whole) - (2 if suffix == ".json" else 1)}:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="checkpoint-000200"):
            load(two)


def test_a_flipped_bit_anywhere_in_the_tensors_is_found(two):
    path = two / "checkpoint-000200.safetensors"
    for at in range(0, path.stat().st_size, 3):
        flip(path, at)
        with pytest.raises(CheckpointError, match=r"checkpoint-000200\.safetensors is damaged.*--step 100"):
            load(two)
        flip(path, at)
    load(two)


def test_a_flipped_bit_in_the_json_never_changes_what_is_loaded(two):
    path, sound = two / "checkpoint-000200.json", load(two)
    found = 0
    for at in range(path.stat().st_size):
        flip(path, at)
        try:
            assert load(two)[1] == sound[1]  # a blank turned into another character that JSON ignores
        except CheckpointError as error:
            found += 1
            assert "checkpoint-000200" in str(error)
        flip(path, at)
    assert found > 0.8 * path.stat().st_size


def test_damage_is_described_and_the_way_back_works(two):
    flip(two / "checkpoint-000200.safetensors", -1)
    with pytest.raises(CheckpointError) as caught:
        load(two)
    assert isinstance(caught.value, UserError)
    assert "--step 100" in str(caught.value) and "delete checkpoint-000200.json" in str(caught.value)
    assert load(two, step=100)[1]["loss"] == 0.5
    (two / "checkpoint-000200.json").unlink()
    assert load(two)[1]["step"] == 100


def test_no_way_back_from_the_only_checkpoint(tmp_path):
    flip(save(tmp_path, tensors(), {"step": 1}), -1)
    with pytest.raises(CheckpointError, match="no earlier checkpoint"):
        load(tmp_path)


def test_lost_tensors_are_named(two):
    (two / "checkpoint-000200.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint-000200\.safetensors cannot be read"):
        load(two)


# --- failing saves -------------------------------------------------------------------------------------------------


def fail_with(code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


def test_full_disk_at_fsync(two, monkeypatch):
    before = files(two)
    monkeypatch.setattr(checkpoint.os, "fsync", fail_with(errno.ENOSPC))
    with pytest.raises(UserError, match=r"checkpoint-000300.*disk is full.*step 200 is intact"):
        save(two, tensors(), {"step": 300})
    assert files(two) == before


@pytest.mark.parametrize("step", [200, 300])
@pytest.mark.parametrize("failing_file", [0, 1])
def test_full_disk_while_writing(two, monkeypatch, step, failing_file):
    """Half of the tensors, or all of them and half of the JSON, are written when the disk is full."""
    before, opened, real_open = files(two), [], builtins.open

    def open_on_a_full_disk(path, mode="r", *args, **kwargs):
        file = real_open(path, mode, *args, **kwargs)
        if "w" not in mode:
            return file
        opened.append(path)
        return HalfFull(file) if len(opened) == failing_file + 1 else file

    monkeypatch.setattr(builtins, "open", open_on_a_full_disk)
    with pytest.raises(UserError, match="disk is full"):
        save(two, tensors(), {"step": step})
    monkeypatch.undo()
    assert len(opened) == failing_file + 1
    assert files(two) == before
    assert load(two)[1] == {"step": 200, "loss": 0.25}


class HalfFull:
    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        fail_with(errno.ENOSPC)()


def test_a_disk_that_really_fills_up(tmp_path):
    """On a file system of 256 KiB the second checkpoint does not fit."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        big = {"W": np.arange(160 * 256, dtype=np.float32)}  # 160 KiB
        save(tmp_path, big, {"step": 1})
        before = files(tmp_path)
        with pytest.raises(UserError, match=r"disk is full.*step 1 is intact"):
            save(tmp_path, big, {"step": 2})
        assert files(tmp_path) == before
        np.testing.assert_array_equal(load(tmp_path)[0]["W"], big["W"])
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("last_rename", [0, 1])
@pytest.mark.parametrize("step", [200, 300])
def test_killed_between_the_renames(two, monkeypatch, step, last_rename):
    """The process dies after some renames: what loads is whole, and the next save tidies up."""
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import numpy as np
from scratchlv.training import checkpoint
real, done = os.replace, []
def replace(a, b):
    if len(done) == {last_rename}:
        os._exit(9)
    done.append(b)
    real(a, b)
os.replace = replace
checkpoint.save({str(two)!r}, {{"x": np.zeros(3)}}, {{"step": {step}}})
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    assert load(two)[1]["step"] == (100 if step == 200 else 200)
    save(two, tensors(), {"step": 400})
    assert sorted(files(two)) == [
        f"checkpoint-{s:06d}{suffix}" for s in sorted(latest_steps(two)) for suffix in (".json", ".safetensors")
    ]


def test_states_that_cannot_be_saved(tmp_path):
    for state in ({}, {"step": -1}, {"step": 1.0}, {"step": True}):
        with pytest.raises(ValueError, match="step"):
            save(tmp_path, tensors(), state)
    with pytest.raises(ValueError, match="JSON"):
        save(tmp_path, tensors(), {"step": 1, "array": np.zeros(2)})
    with pytest.raises(ValueError, match="cannot hold such arrays"):
        save(tmp_path, {"words": np.array(["a"], object)}, {"step": 1})
    with pytest.raises(ValueError, match="keep"):
        save(tmp_path, tensors(), {"step": 1}, keep=0)
    assert files(tmp_path) == {}


# --- folders and JSON ----------------------------------------------------------------------------------------------


def test_what_is_not_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is not the folder of a run"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="has no checkpoint yet"):
        load(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        load(_file(tmp_path / "plain"))
    save(tmp_path, tensors(), {"step": 3})
    with pytest.raises(UserError, match="no checkpoint of step 4: it has those of the steps 3"):
        load(tmp_path, step=4)
    assert latest_steps(tmp_path / "nowhere") == []


def _file(path: Path) -> Path:
    path.write_text("x", encoding="utf-8")
    return path


def test_json_files(tmp_path):
    path = tmp_path / "new" / "config.json"
    write_json_atomically(path, {"words": ["été", "<end>"], "n": 3})
    assert read_json(path) == {"words": ["été", "<end>"], "n": 3}
    assert "été" in path.read_text("utf-8") and len(files(path.parent)) == 1
    with pytest.raises(UserError, match="missing.json does not exist"):
        read_json(tmp_path / "missing.json")
    path.write_text(json.dumps({"n": 3})[:-1])
    with pytest.raises(UserError, match=r"config.json is not valid JSON"):
        read_json(path)
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)


def test_json_survives_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    write_json_atomically(path, {"old": 1})
    monkeypatch.setattr(checkpoint.os, "fsync", fail_with(errno.ENOSPC))
    with pytest.raises(UserError, match="config.json could not be written: the disk is full"):
        write_json_atomically(path, {"new": 2})
    assert read_json(path) == {"old": 1} and len(files(tmp_path)) == 1


def test_json_holds_a_path_that_is_not_utf_8(tmp_path):
    write_json_atomically(tmp_path / "x.json", {"data": "text:caf\udce9 é"})
    assert "é" in (tmp_path / "x.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "x.json") == {"data": "text:caf\udce9 é"}
