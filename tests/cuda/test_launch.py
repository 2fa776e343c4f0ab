"""The launcher refuses what would go wrong without a word on a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchlv.cuda import load
from scratchlv.cuda.emulator import LaunchError, why_not

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("misbehaving.cu")
needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def twice(x=None, y=None, n=None, scale=None, grid=(1,), block=(32,), **options):
    x = np.ones(32, np.float32) if x is None else x
    y = np.zeros(32, np.float32) if y is None else y
    n, scale = np.int32(32) if n is None else n, np.float32(2) if scale is None else scale
    load(SOURCE)["twice"](grid, block, x, y, n, scale, **options)
    return y


@needs_compiler
def test_it_launches():
    np.testing.assert_array_equal(twice(), np.full(32, 2, np.float32))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n": 32}, r"twice: n is a plain Python number, .*pass np.int32\(32\)"),
        ({"scale": 2.0}, r"twice: scale is a plain Python number, .*pass np.float32\(2.0\)"),
        (
            {"scale": np.float64(2)},
            "twice: scale is of the type numpy.float64; the kernel takes float: pass np.float32",
        ),
        ({"n": np.int64(32)}, "twice: n is of the type numpy.int64; the kernel takes int: pass np.int32"),
        ({"x": np.ones(32)}, "twice: x is an array of float64; the kernel reads float: give float32"),
        ({"x": np.ones((32, 2), np.float32)[:, 0]}, "twice: x is not contiguous"),
        ({"x": np.ones((4, 8), np.float32).T}, "twice: x is not contiguous"),
        ({"x": np.ones(129, np.uint8)[1:].view(np.float32)}, "twice: x is not aligned"),
        ({"x": [1.0, 2.0]}, "twice: x is of the type builtins.list; the other arrays of this launch are NumPy"),
    ],
)
def test_a_wrong_argument_is_refused(wrong, message):
    with pytest.raises(TypeError, match=message):
        twice(**wrong)


@needs_compiler
def test_what_was_right_once_lets_nothing_else_through():
    """The launcher remembers kinds of arguments that were right: each refusal must stand after a launch, too."""
    x, y = np.ones(64, np.float32), np.zeros(64, np.float32)
    twice(x, y)
    read_only = np.zeros(64, np.float32)
    read_only.flags.writeable = False
    wrong = {
        "plain Python number": (x, y, 32),
        "float64": (x.astype(float), y),
        "not contiguous": (x[::2], y),
        "not aligned": (np.ones(257, np.uint8)[1:].view(np.float32), y),
        "read-only": (x, read_only),
        "the type builtins.list": (x.tolist(), y),
    }
    for message, arguments in wrong.items():
        for _ in range(2):
            with pytest.raises(TypeError, match=message):
                twice(*arguments)
    with pytest.raises(TypeError, match="takes 4 arguments"):
        load(SOURCE)["twice"]((1,), (32,), x, y, np.int32(32))


def test_an_array_that_is_written_to_must_be_writeable():
    y = np.zeros(32, np.float32)
    y.flags.writeable = False
    with pytest.raises(TypeError, match="y is read-only, and the kernel writes to it"):
        twice(y=y)


@needs_compiler
def test_an_array_that_is_only_read_may_be_read_only():
    x = np.ones(32, np.float32)
    x.flags.writeable = False
    assert twice(x=x)[0] == 2


def test_too_few_arguments_are_refused():
    with pytest.raises(TypeError, match=r"twice takes 4 arguments \(x, y, n, scale\), not 1"):
        load(SOURCE)["twice"]((1,), (32,), np.ones(32, np.float32))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"block": (257,)}, "a block of 257 threads; it may have 1 to 256"),
        ({"block": (0,)}, "a block of 0 threads"),
        ({"block": (1, 1, 65)}, "no chip takes a grid of"),
        ({"grid": (1, 65536)}, "no chip takes a grid of"),
        ({"grid": (-1,)}, "the grid is a tuple of one to three sizes"),
        ({"grid": 4}, "the grid is a tuple of one to three sizes"),
        ({"shared": 228 * 1024}, "233472 bytes of shared memory for a block; there are at most 232448"),
    ],
)
def test_a_launch_that_no_chip_takes_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        twice(**shape)


def test_a_grid_without_blocks_launches_nothing():
    assert not twice(grid=(0,)).any()


def test_a_kernel_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(KeyError, match="misbehaving.cu has no kernel 'thrice'; it has twice, "):
        load(SOURCE)["thrice"]
    with pytest.raises(FileNotFoundError, match="nowhere.cu"):
        load("nowhere.cu")


def test_of_a_file_without_kernels_it_is_said(tmp_path):
    (tmp_path / "empty.cu").write_text("__global__ void half(", "utf-8")
    with pytest.raises(KeyError, match="it has none"):
        load(tmp_path / "empty.cu")["twice"]


def test_a_file_is_found_in_its_room():
    assert load("softmax_cross_entropy.cu").path.parent.name == "softmax_cross_entropy"
    assert len(load("softmax_cross_entropy.cu")) == len(list(load("softmax_cross_entropy.cu")))


@needs_compiler
def test_the_files_are_read_alike_in_any_locale(tmp_path):
    """Their comments hold letters that ASCII does not have."""
    code = "from scratchlv.cuda import load; load('softmax_cross_entropy.cu').engine(on_gpu=False)"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    environment["SCRATCHLV_CACHE"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_compiler
def test_a_file_that_does_not_compile_is_named(tmp_path):
    source = tmp_path / "broken.cu"
    source.write_text('#include "scratchlv.cuh"\nextern "C" __global__ void broken(float* x) { x[0] = nothing; }\n')
    with pytest.raises(LaunchError, match=r"broken.cu does not compile for the CPU:(.|\n)*nothing"):
        load(source)["broken"]((1,), (1,), np.zeros(1, np.float32))


@needs_compiler
def test_a_cache_folder_that_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    from scratchlv.cuda import emulator

    (tmp_path / "a file").touch()
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path / "a file" / "below"))
    emulator._folders.cache_clear()
    try:
        emulator.CpuModule(SOURCE, ("twice",))
    finally:
        emulator._folders.cache_clear()


@needs_compiler
def test_a_read_only_cache_serves_what_it_holds(tmp_path, monkeypatch):
    from scratchlv.cuda import emulator

    read_only, other = tmp_path / "read-only", tmp_path / "other"
    other.mkdir()
    read_only.mkdir()
    monkeypatch.setattr(emulator, "_folders", lambda: [read_only])
    emulator.CpuModule(SOURCE, ("twice",))
    monkeypatch.setattr(emulator, "_folders", lambda: [read_only, other])
    emulator.CpuModule(SOURCE, ("twice",))
    assert not list(other.iterdir())
