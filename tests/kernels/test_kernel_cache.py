"""Compiled kernels on disk: found again in whatever process and state, and deleted when nobody uses them."""

import ctypes
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from numba import types
from numba.core import config
from numba.extending import intrinsic

from scratchlv.kernels.building_blocks import compiling, kernel_cache
from scratchlv.kernels.building_blocks.kernel_cache import kept, kernel_folders

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where kernels are kept during a test."""
    folder = tmp_path / "kernels"
    monkeypatch.setattr(config, "CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """The folder of temporary files during a test."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def make(number=1):
    """A kernel; one of the same number is the same kernel, as another process would have it."""

    @compiling.kernel()
    def add(x):
        return x + number

    return add


def compiles(call):
    """How many kernels a call compiles."""
    before = compiling.compiled()
    call()
    return compiling.compiled() - before


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def make_read_only(monkeypatch, folder):
    """Have a folder refuse to be written, also for root, who may write where nobody may."""
    make_temporary, replace = tempfile.TemporaryFile, Path.replace

    def refuse(path):
        if Path(path).is_relative_to(folder):
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir=None: refuse(dir) or make_temporary(dir=dir))
    monkeypatch.setattr(Path, "replace", lambda self, to: refuse(to) or replace(self, to))
    kernel_cache._folders.cache_clear()


# --- what is found again ---------------------------------------------------------------------------------------------

CONSTANTS = '"""Constants."""\nSTEP = 1\nUNUSED = 1\n'
EMITTER = '''
"""What emits LLVM."""
from llvmlite import ir
class Emitter:
    """Emits."""
    def __init__(self, builder):
        self.builder = builder
    def raised(self, x):
        """x + 10."""
        return self.builder.add(x, ir.IntType(64)(10))
'''
KERNELS = '''
"""Kernels."""
from numba import types
from numba.extending import intrinsic
from scratchlv.kernels.building_blocks.compiling import compiled, kernel
from constants import STEP
from emitter import Emitter

@intrinsic
def raised(typing_context, x):
    """x + 10."""
    return types.int64(types.int64), lambda context, builder, signature, arguments: Emitter(builder).raised(arguments[0])

@kernel()
def plus_step(x):
    """x + 1."""
    return x + STEP

@kernel()
def plus_ten(x):
    """x + 10."""
    return raised(x)
'''
RUN = "from kernels_of_ours import *; print(plus_step(0), plus_ten(0), compiled())"


@pytest.mark.slow
def test_only_what_changes_code_has_a_kernel_compiled_again(tmp_path):
    def says(constants=CONSTANTS, emitter=EMITTER, kernels=KERNELS):
        for name, code in (("constants", constants), ("emitter", emitter), ("kernels_of_ours", kernels)):
            (tmp_path / f"{name}.py").write_text(code)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "SCRATCHLV_CACHE": str(tmp_path / "cache")}
        environment.update(PYTHONDONTWRITEBYTECODE="1", NUMBA_CACHE_DIR="")
        done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [int(number) for number in done.stdout.split()]

    assert says() == [1, 10, 2]
    told = [f"# A comment.\n\n{code}".replace('."""', ', told at length."""') for code in (CONSTANTS, EMITTER, KERNELS)]
    assert says(told[0].replace("UNUSED = 1", "UNUSED = 2"), *told[1:]) == [1, 10, 0]
    assert says(constants=CONSTANTS.replace("STEP = 1", "STEP = 2")) == [2, 10, 1]
    assert says(emitter=EMITTER.replace("(10)", "(20)")) == [1, 20, 1]
    assert says() == [1, 10, 0]  # the first state is still there


def test_the_types_and_the_name_of_a_kernel_count(folder):
    def same(x):
        return x + 1

    first = compiling.kernel()(same)
    assert compiles(lambda: first(1)) == compiles(lambda: first(1.5)) == 1
    for name in ("another", "one" + 100 * "x", "two" + 100 * "x"):
        same.__qualname__ = name
        assert compiles(lambda: compiling.kernel()(same)(1)) == 1
    assert len(files(folder)) == 5


def test_what_a_closure_holds_counts(folder):
    assert [make(1)(1), make(2)(1), make(1)(1)] == [2, 3, 2]
    assert compiles(lambda: make(2)(1)) == 0
    assert compiles(lambda: make(3)(1)) == 1


def test_how_kernels_are_compiled_counts(folder, monkeypatch):
    assert compiles(lambda: make()(1)) == 1
    monkeypatch.setattr(compiling, "_MADE_BY", "another way")
    assert compiles(lambda: make()(1)) == 1
    monkeypatch.setattr(config, "OPT", 1)
    assert compiles(lambda: make()(1)) == 1


def test_a_processor_with_other_features_has_its_own(folder, monkeypatch):
    make()(1)
    codegen = compiling.cpu_target.target_context.codegen()
    monkeypatch.setattr(codegen, "magic_tuple", lambda: ("x86_64", "another", "+none"), raising=False)
    assert compiles(lambda: make()(1)) == 1


# --- what is in the way ----------------------------------------------------------------------------------------------


def flipped(contents):
    """One bit of the machine code has changed: it would load, and run."""
    at = contents.index(b"ELF") + 600
    return contents[:at] + bytes([contents[at] ^ 1]) + contents[at + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda contents: b"",
        lambda contents: contents[: len(contents) // 2],
        lambda contents: b"garbage" * 100,
        lambda contents: contents[16:],  # a pickle without a checksum
        lambda contents: contents[:16] + pickle.dumps("another"),
        flipped,
    ],
    ids=["empty", "cut off", "garbage", "no checksum", "another pickle", "a bit"],
)
def test_a_damaged_file_is_named_and_replaced(folder, spoil):
    make()(1)
    (file,) = files(folder)
    (folder / file).write_bytes(spoil((folder / file).read_bytes()))
    with pytest.warns(UserWarning, match="damaged, and is compiled again") as said:
        assert compiles(lambda: make()(1)) == 1
    assert {warning.filename for warning in said} == {str(folder / file)}
    assert compiles(lambda: make()(1)) == 0
    assert files(folder) == [file]


def test_a_full_disk_is_no_obstacle(folder, monkeypatch):
    def full(self, contents):
        with open(self, "wb") as file:
            file.write(contents[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    kernel_cache._say_not_kept.cache_clear()
    with pytest.warns(UserWarning, match="cannot be kept here .No space left on device.") as warned:
        assert make()(1) == 2
        assert make(2)(1) == 3
    assert len(warned) == 1
    assert files(folder) == []


def test_a_read_only_folder_that_holds_the_kernels_is_used_and_what_is_missing_goes_elsewhere(
    folder, temporary, monkeypatch
):
    make(1)(1)
    before = files(folder)
    make_read_only(monkeypatch, folder)
    assert kernel_folders()[0] == folder and kernel_folders()[1].is_relative_to(temporary)
    assert compiles(lambda: make(1)(1)) == 0
    assert compiles(lambda: make(2)(1)) == 1
    assert compiles(lambda: make(2)(1)) == 0
    assert files(folder) == before
    assert kept() == {folder: 1, kernel_folders()[1]: 1}


def test_where_nothing_can_be_written_kernels_run_all_the_same(tmp_path, folder, monkeypatch):
    make_read_only(monkeypatch, tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    assert kernel_folders() == [folder]
    assert make()(1) == 2


def test_a_temporary_folder_of_another_user_is_not_trusted(folder, temporary, monkeypatch):
    """Anybody can make a folder among temporary files, and put code into it."""
    if not hasattr(os, "getuid"):
        pytest.skip("this system has no user numbers")
    make_read_only(monkeypatch, folder)
    theirs = temporary / f"scratchlv-{os.getuid()}"
    assert kernel_folders()[1] == theirs / "kernels"
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    theirs = theirs.rename(temporary / f"scratchlv-{other}")
    kernel_cache._folders.cache_clear()
    ours = kernel_folders()[1].parent
    assert ours.parent == temporary and ours != theirs


SHARED = """
import numpy as np
from scratchlv.kernels.building_blocks.compiling import compiled
from scratchlv.kernels.building_blocks.kernel_cache import kernel_folders
from scratchlv import ops
ops.relu.forward(np.ones(9, np.float32))
print(compiled(), len(kernel_folders()))
"""
NOBODY, PR_CAPBSET_DROP = 65_534, 24


def drop_capabilities():
    """The program that is started next may do no more than an ordinary user, also as root."""
    for capability in range(64):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@pytest.mark.slow
def test_one_folder_of_another_user_serves_many_at_once(tmp_path):
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only root, on Linux, can give a folder to another user and drop its own powers")
    folder, temporary = tmp_path / "shared", tmp_path / "tmp"
    temporary.mkdir()
    environment = dict(os.environ, PYTHONPATH=str(ROOT), SCRATCHLV_CACHE=str(folder), TMPDIR=str(temporary))
    environment.pop("NUMBA_CACHE_DIR", None)

    def start(**more):
        command = [sys.executable, "-c", SHARED]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **more)

    def state():
        return [(path, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))]

    assert start().communicate()[0] == "1 1\n"
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    before = state()
    learners = [start(preexec_fn=drop_capabilities) for _ in range(4)]
    assert [learner.communicate()[0] for learner in learners] == ["0 2\n"] * 4
    assert state() == before


LOCK = threading.Lock()


@intrinsic
def under_lock(typing_context, x):
    """x, with a lock in what it is made of."""

    def emit(context, builder, signature, arguments):
        with LOCK:
            return arguments[0]

    return types.int64(types.int64), emit


def test_a_kernel_of_which_we_cannot_tell_whether_it_stays_the_same_is_not_kept_and_says_so(folder):
    @compiling.kernel()
    def unsure(x):
        return under_lock(x)

    with pytest.warns(UserWarning, match=r"unsure is compiled anew by each process: .*_thread.lock") as warned:
        assert unsure(3) == 3
    assert len(warned) == 1
    assert list(folder.glob("*.kernel")) == []


def test_a_kernel_that_holds_a_large_array_is_not_kept_and_says_so(folder):
    large = np.ones(1_000_000)

    @compiling.kernel()
    def holds(i):
        return large[i]

    with pytest.warns(UserWarning, match="large array"):
        assert holds(3) == 1
    assert list(folder.glob("*.kernel")) == []


# --- what is deleted -------------------------------------------------------------------------------------------------


def age(path, days):
    """Have a file be last used so many days before it was."""
    then = path.stat().st_mtime - days * 86_400
    os.utime(path, (then, then))


def test_what_was_not_used_for_a_month_is_deleted(folder):
    for number in range(3):
        make(number)(1)
    (folder / "0123456789abcdef" / "lstm").mkdir(parents=True)  # as version 0.1 had them
    (folder / "fedcba9876543210" / "lstm").mkdir(parents=True)
    gone = [
        folder / "kernel-01234567-0123456789abcdef.kernel",
        folder / "kernel-01234567-0123456789abcdef.kernel.12345678",  # its process was killed
        folder / "locks" / "0123456789abcdef",
        folder / "0123456789abcdef" / "lstm" / "numba_cpu.nbi",
    ]
    stays = [folder / "of_others.nbi", folder / "fedcba9876543210" / "lstm" / "numba_cpu.nbi"]
    for path in gone + stays:
        path.write_text("")
    for path in folder.rglob("*"):
        age(path, 29 if path == stays[1] else 31)
    make(1)(1)  # and is used by that
    kernel_cache._delete_unused.cache_clear()
    make(3)(1)
    assert not any(path.exists() for path in gone) and all(path.exists() for path in stays)
    assert [compiles(lambda number=number: make(number)(1)) for number in (1, 3, 0, 2)] == [0, 0, 1, 1]


def test_of_a_kernel_the_states_used_last_are_kept(folder, monkeypatch):
    monkeypatch.setattr(kernel_cache, "_MOST_STATES", 3)
    for number in range(3):
        make(number)(1)
        for path in folder.glob("*.kernel"):
            age(path, 1)
    make(0)(1)
    make(1)(1.5)  # of other types
    make(3)(1)
    assert len(list(folder.glob("*.kernel"))) == 4
    assert [compiles(lambda number=number: make(number)(1)) for number in (0, 2, 3)] == [0, 0, 0]
    assert compiles(lambda: make(1)(1)) == 1


# --- where they are kept ---------------------------------------------------------------------------------------------

FOLDER = "from scratchlv.kernels.building_blocks.kernel_cache import kernel_folders; print(kernel_folders()[-1])"


def folder_with(**environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "SCRATCHLV_CACHE")}
    command = [sys.executable, "-c", FOLDER]
    done = subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_where_compiled_kernels_are_kept(tmp_path):
    assert folder_with(SCRATCHLV_CACHE=str(tmp_path)) == tmp_path / "kernels"
    assert folder_with(NUMBA_CACHE_DIR=str(tmp_path / "mine")) == tmp_path / "mine"
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be made here")
    assert folder_with(SCRATCHLV_CACHE=str(blocked), TMPDIR=str(tmp_path)).is_relative_to(tmp_path)


SAME_BITS = """
import hashlib
import numpy as np
from scratchlv.kernels.building_blocks.kernel_cache import kept
from scratchlv.ops import OPERATIONS
import scratchlv.ops as ops
digest = hashlib.sha256()
for name in sorted(set(OPERATIONS) - {"adam", "rmsprop", "sgd", "global_norm"}):
    operation, rng = getattr(ops, name), np.random.default_rng(0)
    for case in list(operation.room.cases(rng).values()):
        inputs = {k: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == np.float64 else v for k, v in case.items()}
        if operation.choose(**inputs)[0] != "numba_cpu":
            continue
        y, cache = operation.variant("numba_cpu").forward(**inputs)
        outputs = y if isinstance(y, tuple) else (y,)
        dy = tuple(rng.standard_normal(np.shape(o)).astype(np.float32) for o in outputs)
        grads = operation.backward(dy if isinstance(y, tuple) else dy[0], cache)
        for array in (*outputs, *grads):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
print(digest.hexdigest(), sum(kept().values()))
"""


@pytest.mark.slow
def test_the_bits_are_the_same_when_the_kernels_come_from_disk(tmp_path):
    """LLVM may optimise a kernel differently in the process that compiles it: that must not show."""
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(ROOT))
    outputs = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", SAME_BITS], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.split())
    (cold, compiled), (warm, found) = outputs
    assert int(compiled) == int(found) > 20
    assert cold == warm
