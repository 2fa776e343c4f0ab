"""How kernels are compiled: told once, kept, and with a folder that cannot be written."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit, prange, types
from numba.core import config

from scratchlv.kernels.building_blocks import compiling
from scratchlv.tasks.warmup import compile_largest_first

ROOT = Path(__file__).resolve().parents[2]

USE = """
import numpy as np
from scratchlv import ops
from scratchlv.kernels.building_blocks.compiling import compiled, when_compiling
from scratchlv.kernels.building_blocks.kernel_cache import kernel_folders
x = np.array([-1, 2], np.float32)
with when_compiling(lambda: print("begins")):
    for _ in range(2):
        y, cache = ops.relu.forward(x)
        (dx,) = ops.relu.backward(x, cache)
assert y.tolist() == [0, 2] and dx.tolist() == [0, 2]
print(compiled())
print(kernel_folders()[-1])
"""


@pytest.fixture(autouse=True)
def nothing_is_kept_yet(monkeypatch, tmp_path):
    """Kernels of this file that an earlier run of the tests has kept are not found."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))


def use(**environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "SCRATCHLV_CACHE")}
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *said, compiled, folder = done.stdout.splitlines()
    return said, int(compiled), Path(folder)


def test_blocks_of_two_threads_may_end_in_any_order():
    said = []
    first, second = (compiling.when_compiling(lambda: None, lambda: said.append("at once")) for _ in range(2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert said == ["at once"]
    with compiling.when_compiling(lambda: None, lambda: said.append("and the next")):
        assert said == ["at once", "and the next"]


def test_every_block_is_told_of_its_first_kernel_but_for_those_within_it():
    said = []

    def compile_another(number):
        @compiling.kernel()
        def plus(x):
            return x + number

        plus(1)

    with compiling.when_compiling(lambda: said.append("outer")):
        with compiling.when_compiling(lambda: said.append("inner, at first")):
            pass
        compile_another(1)
        with compiling.when_compiling(lambda: said.append("inner")):
            compile_another(2)
    with compiling.when_compiling(lambda: said.append("next")):
        compile_another(3)
    compile_another(4)
    with compiling.when_compiling(lambda: said.append("begins"), lambda: said.append("at once")):
        assert said == ["outer", "next", "at once"]
        with compiling.when_compiling(lambda: said.append("within"), lambda: said.append("within, at once")):
            compile_another(5)
    assert said == ["outer", "next", "at once", "begins"]


def test_compiling_is_told_once_and_only_when_it_happens(tmp_path):
    said, compiled, _ = use(SCRATCHLV_CACHE=str(tmp_path))
    assert said == ["begins"]
    assert compiled == 2  # forward and backward
    assert use(SCRATCHLV_CACHE=str(tmp_path))[:2] == ([], 0)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["below a file", "in /proc"])
def test_where_nothing_can_be_kept_a_temporary_folder_serves(tmp_path, where):
    """As root a folder is never read-only; below a file, or in /proc, not even root can make one."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    if where == "in /proc" and not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    named = blocked / "cache" if where == "below a file" else Path("/proc/scratchlv")
    (tmp_path / "tmp").mkdir()
    environment = {"SCRATCHLV_CACHE": str(named), "TMPDIR": str(tmp_path / "tmp")}
    said, compiled, folder = use(**environment)
    assert compiled == 2
    assert folder.is_relative_to(tmp_path / "tmp")
    assert use(**environment)[1] == 0  # kept there


def test_what_is_compiled_elsewhere_is_left_alone():
    """A function of the user's own, also one that calls a kernel, is compiled as if there were no kernels."""
    from scratchlv.kernels.relu import numba_cpu  # noqa: F401

    @compiling.kernel()
    def double(x):
        return 2 * x

    @njit
    def mine(x):
        return double(x) + min(x, 3)

    before = compiling.compiled()
    assert mine(5) == 13
    assert compiling.compiled() <= before + 1
    assert double(4) == 8  # a kernel that another function was first to call can be called by itself
    assert mine.overloads[mine.signatures[0]].library.get_pointer_to_function("nothing") == 0
    assert gc.isenabled()


def test_the_collector_is_left_as_it_was():
    @compiling.kernel()
    def triple(x):
        return 3 * x

    gc.disable()
    try:
        triple(np.float64(1))
        assert not gc.isenabled()
    finally:
        gc.enable()
    triple(np.float32(1))
    assert gc.isenabled()


def test_a_kernel_that_does_not_compile_leaves_nothing_behind():
    @compiling.kernel()
    def broken(x):
        return x.no_such_attribute

    @compiling.kernel()
    def sound(x):
        return x + 1

    with pytest.raises(Exception, match="no_such_attribute"):
        broken(1)
    assert gc.isenabled()
    assert "create_library" not in vars(compiling.cpu_target.target_context.codegen())
    assert compiling.CPUContext.create_cpython_wrapper is compiling._create_cpython_wrapper
    assert sound(1) == 2


def test_a_kernel_that_others_call_is_a_part_of_them_and_a_whole_one_when_python_calls_it(tmp_path):
    @compiling.kernel()
    def inner(x):
        return x + 1

    @compiling.kernel()
    def outer(x):
        return 2 * inner(x)

    @compiling.kernel()
    def other(x):
        return 3 * inner(x)

    assert outer(1) == 4
    (result,) = inner.overloads.values()
    assert isinstance(result.library, compiling._Part)  # no machine code of it alone, which nobody had asked for
    assert [path.name.split("-")[0].split(".")[-1] for path in tmp_path.rglob("*.kernel")] == ["outer"]
    assert other(1) == 6
    assert [inner(1), inner(1), inner(1.5)] == [2, 2, 2.5]
    assert outer(5) == 12


def test_a_kernel_may_return_an_array():
    @compiling.kernel()
    def ones(n):
        return np.ones(n, np.float32)

    @compiling.kernel()
    def twos(n):
        return 2 * ones(n)

    assert twos(3).tolist() == [2, 2, 2]
    assert ones(3).tolist() == [1, 1, 1]


def test_the_loops_of_a_parallel_kernel_are_not_fused():
    def fused(decorate, dtype):
        def two_loops(x, y):
            for i in prange(len(x)):
                x[i] += 1
            for i in prange(len(x)):
                y[i] = 2

        kernel = decorate(two_loops)
        kernel(np.zeros(4, dtype), np.empty(4, dtype))
        (metadata,) = kernel.get_metadata().values()
        return bool(metadata["parfor_diagnostics"].fusion_info)

    assert fused(njit(parallel=True), np.float64)
    assert not fused(compiling.kernel(parallel=True), np.float64)
    assert not fused(
        compiling.kernel(parallel=True), np.float32
    )  # what the first was compiled with is still there for the next


@pytest.mark.slow
def test_a_kernel_that_was_kept_serves_as_a_part_in_another_process(tmp_path):
    (tmp_path / "kernels_of_ours.py").write_text(
        "from scratchlv.kernels.building_blocks.compiling import compiled, kernel\n"
        "@kernel()\ndef inner(x):\n    return x + 1\n"
        "@kernel()\ndef outer(x):\n    return 2 * inner(x)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "SCRATCHLV_CACHE": str(tmp_path / "cache")}
    environment.pop("NUMBA_CACHE_DIR", None)
    for call, wanted in (("inner(1)", "2"), ("outer(1)", "4"), ("inner(1) + outer(1)", "6")):
        command = [sys.executable, "-c", f"from kernels_of_ours import *; print({call}, compiled())"]
        said = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert said.stdout.split() == [wanted, "0" if "+" in call else "1"], said.stderr


def test_a_rehearsal_notes_kernels_and_runs_none():
    @compiling.kernel()
    def double(x, parts):
        for i in range(x.size):
            x[i] = 2 * x[i]
            parts[0][i] = np.nan

    before = compiling.compiled()
    single, other, whole = np.ones(2, np.float32), np.full(2, np.nan), np.ones(2, np.int64)
    with compiling.rehearsal() as calls:
        for x in (single, single, whole):
            double(x, (other,))
    assert compiling.compiled() == before
    assert [(kernel is double, of[0].dtype.name) for kernel, of in calls] == [(True, "float32"), (True, "int64")]
    assert single.tolist() == other.tolist() == [0, 0] and whole.tolist() == [1, 1]
    compiling.compile_unless_others_do(*calls[0])
    assert compiling.compiled() == before + 1
    double(np.ones(2, np.float32), (other,))
    assert compiling.compiled() == before + 1
    double(whole, (other,))
    assert whole.tolist() == [2, 2] and np.isnan(other).all()


def test_a_kernel_that_was_a_part_is_compiled_as_a_whole_when_another_process_asks():
    """As the second process does, which compiles the largest kernels first."""

    @compiling.kernel()
    def part(x):
        return x + 1

    @compiling.kernel()
    def whole(x):
        return 2 * part(x)

    for kernel in whole, part:
        compiling.compile_unless_others_do(kernel, (types.int64,))
    (result,) = part.overloads.values()
    assert not isinstance(result.library, compiling._Part)


@compiling.kernel()
def small(x):
    return x + 1


@compiling.kernel()
def large(x):
    return small(x) + small(x) - 1


def test_the_size_of_a_kernel_counts_each_of_its_parts_once():
    codes = {each: len(each.py_func.__code__.co_code) for each in (small, large)}
    assert compiling.size(small) == codes[small]
    assert compiling.size(large) == codes[small] + codes[large]


def test_the_second_process_begins_with_the_largest(monkeypatch):
    done = []
    monkeypatch.setattr("scratchlv.tasks.warmup.gc.disable", lambda: None)
    monkeypatch.setattr(
        "scratchlv.tasks.warmup.rehearse", lambda task, model: [(small, (1,)), (large, (2,)), (small, (3,))]
    )
    monkeypatch.setattr(compiling, "compile_unless_others_do", lambda *call: done.append(call))
    compile_largest_first("lm", "rnn")
    assert done == [(large, (2,)), (small, (1,)), (small, (3,))]


def test_what_another_process_is_compiling_is_waited_for_or_left_to_it(monkeypatch):
    pytest.importorskip("fcntl")

    @compiling.kernel()
    def triple(x):
        return 3 * x

    names, locked = [], compiling._locked
    monkeypatch.setattr(compiling, "_locked", lambda name, *wait: (names.append((name, *wait)), locked(name, *wait))[1])
    triple(1.0)
    ((held, waits),) = names
    assert waits and "triple" in held
    with locked(held, False):  # it is done
        pass
    int64 = (types.int64,)
    with locked(held.replace("float64", "int64")):
        compiling.compile_unless_others_do(triple, int64)
        assert int64 not in triple.overloads
    compiling.compile_unless_others_do(triple, int64)
    assert int64 in triple.overloads


def test_two_processes_compile_nothing_twice(tmp_path):
    pytest.importorskip("fcntl")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCRATCHLV_CACHE": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    both = [
        subprocess.Popen([sys.executable, "-c", USE], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    compiled = [int(process.communicate()[0].splitlines()[-2]) for process in both]
    assert sum(compiled) == 2  # forward and backward


@pytest.mark.slow
def test_the_second_process_compiles_all_that_a_model_needs(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCRATCHLV_CACHE": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    subprocess.run([sys.executable, "-m", "scratchlv.tasks.warmup", "lm", "rnn"], env=environment, check=True)
    command = [sys.executable, "-m", "scratchlv", "warmup", "lm:rnn"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "all there" in said.stdout


def test_a_rehearsal_names_the_kernels_in_the_order_of_their_first_calls():
    """In a process of its own: what this one has compiled before would be run, not noted."""
    code = "from scratchlv.tasks.warmup import rehearse; print(*(k.py_func.__qualname__ for k, _ in rehearse('lm', 'lstm')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    names = done.stdout.split()
    assert names.index("_sweep") < names.index("_scatter_add") < names.index("_copy_and_sum_squares")


def test_a_callback_is_noted_in_a_rehearsal_and_compiled_by_one_process(monkeypatch, tmp_path):
    pytest.importorskip("fcntl")

    @compiling.kernel()
    def inner(x):
        return x + 1

    def outer(x):
        inner(x)

    callback, same = (compiling.Callback(outer, types.void(types.int64)) for _ in range(2))
    before = compiling.compiled()
    with compiling.rehearsal() as calls:
        assert callback.address == 0
    assert calls == [(callback, ())]
    name = f"{outer.__module__}.{outer.__qualname__}{callback._signature}"
    with compiling._locked(name):
        compiling.compile_unless_others_do(*calls[0])
    assert compiling.compiled() == before
    assert callback.address != 0
    assert compiling.compiled() == before + 1
    with compiling._locked(name, False):  # it is done
        pass
    (part,) = inner.overloads.values()
    assert isinstance(part.library, compiling._Part)
    assert same.address != 0
    assert compiling.compiled() == before + 1  # found on disk


def test_a_number_divided_by_zero_is_infinity_or_nan_as_in_numpy():
    @compiling.kernel()
    def divide(x, y):
        for i in range(x.size):
            x[i] = x[i] / y[i]

    x = np.array([1, -1, 0], np.float32)
    divide(x, np.zeros(3, np.float32))
    np.testing.assert_array_equal(x, [np.inf, -np.inf, np.nan])
