"""The CPU that stands in for a GPU: what it plays, and what it finds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchlv.cuda import emulator, load
from scratchlv.cuda.emulator import ORDERS, LaunchError, turns, why_not, without_barrier

from .checks import ROOMS

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
SOURCE = Path(__file__).with_name("misbehaving.cu")


def kernel(name):
    return load(SOURCE)[name]


def nan(*shape):
    return np.full(shape, np.nan, np.float32)


def line(text):
    """The number of the line of the source that holds this text."""
    return 1 + next(i for i, row in enumerate(SOURCE.read_text("utf-8").splitlines()) if text in row)


def test_threads_at_different_barriers_are_named():
    message = r"two_barriers, block \(0, 0, 0\): thread \(\d+, 0, 0\) stands at .*misbehaving.cu:\d+.*same barrier"
    with pytest.raises(LaunchError, match=message):
        kernel("two_barriers")((1,), (32,), nan(32))


def test_a_deadlock_is_named_with_kernel_block_thread_and_line():
    where = line("if (threadIdx.x >= n) return") + 1
    message = rf"ends_early, block \(0, 0, 0\): deadlock: thread \(0, 0, 0\).*misbehaving.cu:{where}\), and 24 of 64"
    with pytest.raises(LaunchError, match=message):
        kernel("ends_early")((2,), (64,), nan(64), np.int32(40))


def test_a_lane_outside_its_mask_is_an_error():
    with pytest.raises(LaunchError, match=r"thread \(16, 0, 0\): a lane that is not in its own mask 0000ffff"):
        kernel("lane_outside_its_mask")((1,), (32,), nan(32))


def test_lanes_at_different_shuffles_are_an_error():
    with pytest.raises(LaunchError, match="lanes of one warp stand at"):
        kernel("two_shuffles")((1,), (32,), nan(32))


@pytest.mark.parametrize("order", ORDERS)
def test_parts_of_a_warp_may_shuffle_by_themselves(order):
    x = np.zeros(32, np.int32)
    with turns(order):
        kernel("half_warps")((1,), (32,), x)
    np.testing.assert_array_equal(x, [3] * 16 + [20] * 16)


def test_a_lane_that_is_not_there_gives_nan():
    x = np.zeros(16, np.float32)
    kernel("from_a_lane_that_is_not_there")((1,), (16,), x)
    assert np.isnan(x).all()


def test_shared_memory_is_nan_when_a_block_begins():
    x = np.zeros(2, np.float32)
    kernel("reads_shared_memory_before_writing")((3,), (1,), x, shared=16)
    assert np.isnan(x).all()


@pytest.mark.parametrize("order", ORDERS)
def test_blocks_meet_and_keep_their_own_shared_memory(order):
    x, y = nan(5), nan(5)
    with turns(order, seed=1):
        kernel("blocks_meet")((5,), (33,), x, y, cooperative=True)
    np.testing.assert_array_equal(y, [102, 203, 304, 405, 501])


def test_without_their_meeting_blocks_read_what_is_not_there():
    y = nan(5)
    with without_barrier(SOURCE.name, line("    grid.sync();")):
        kernel("blocks_meet")((5,), (33,), nan(5), y, cooperative=True)
    assert np.isnan(y).any()


def test_a_grid_that_is_not_cooperative_cannot_meet():
    with pytest.raises(LaunchError, match="blocks_meet: grid.sync.. in a launch that is not cooperative"):
        kernel("blocks_meet")((5,), (33,), nan(5), nan(5))


def test_blocks_that_wait_for_blocks_that_have_ended_are_a_deadlock():
    with pytest.raises(LaunchError, match="some_blocks_meet: deadlock: 3 of 4 blocks wait"):
        kernel("some_blocks_meet")((4,), (32,), nan(4), cooperative=True)


def order_of_turns(order, seed=0):
    who = np.full(12, -1, np.int32)
    with turns(order, seed):
        kernel("who_comes_first")((3,), (4,), np.zeros(1, np.int32), who)
    return who.tolist()


def test_threads_and_blocks_take_turns_in_the_order_asked_for():
    assert order_of_turns("forward") == list(range(12))
    assert order_of_turns("warp by warp") == list(range(12))
    assert order_of_turns("reverse") == list(range(11, -1, -1))
    assert sorted(order_of_turns("shuffled", 1)) == list(range(12))
    assert order_of_turns("shuffled", 1) == order_of_turns("shuffled", 1) != order_of_turns("shuffled", 2)


@pytest.mark.parametrize("order", ORDERS)
def test_only_where_a_warp_runs_ahead_does_it_overwrite_what_others_have_yet_to_read(order):
    x = nan(64)
    with turns(order):
        kernel("writes_before_all_have_read")((1,), (64,), x)
    ahead = order == "warp by warp"  # and the one that came last to the barrier goes on first
    np.testing.assert_array_equal(x, [10 if ahead else 1] * 32 + [1] * 32)


def test_an_order_that_is_none_is_refused():
    with pytest.raises(ValueError, match="forward, reverse, shuffled, warp by warp, not 'sideways'"), turns("sideways"):
        pass


def test_bfloat16_rounds_to_the_nearest_even_and_keeps_nan_and_infinity():
    x = np.array(
        [1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -3e38, 1e-36, 0, np.inf, -np.inf, np.nan], np.float32
    )
    y = nan(x.size)
    kernel("to_and_from_bf16")((1,), (32,), x, y, np.int32(x.size))
    np.testing.assert_array_equal(y[:4], [1, 1, 1 + 2**-6, 1 + 2**-7])
    np.testing.assert_allclose(y[4:6], x[4:6], rtol=2**-8)
    np.testing.assert_array_equal(y[6:], x[6:])


# --- the address and undefined-behaviour sanitizers ------------------------------------------------------------------


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory):
    """Where kernels are kept that are compiled for the sanitizers."""
    return tmp_path_factory.mktemp("sanitized")


def run_sanitized(cache, code):
    """Python in a process of its own, with kernels compiled for the sanitizers and their library loaded first."""
    libasan = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not Path(libasan).is_absolute():
        pytest.skip("g++ has no address sanitizer here")
    environment = os.environ | {
        "SCRATCHLV_SANITIZE": "1",
        "SCRATCHLV_CACHE": str(cache),
        "LD_PRELOAD": libasan,
        "PYTHONMALLOC": "malloc",  # so that an array's end is the end of its memory
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "PYTHONPATH": os.pathsep.join([str(SOURCE.parents[2]), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launch", "error"),
    [
        ("['beyond_the_end']((1,), (8,), np.zeros(40, np.float32), np.int32(36))", "heap-buffer-overflow"),
        ("['beyond_the_shared_array']((1,), (16,), np.zeros(16, np.float32))", "overflow|out of bounds"),
        ("['beyond_dynamic_memory']((1,), (9,), np.zeros(9, np.float32), shared=32)", "heap-buffer-overflow"),
        ("['not_on_a_boundary']((1,), (1,), np.zeros(16, np.float32))", "misaligned address"),
    ],
)
def test_the_sanitizers_name_the_line(launch, error, sanitized):
    code = f"import numpy as np; from scratchlv.cuda import load; load({str(SOURCE)!r}){launch}"
    done = run_sanitized(sanitized, code)
    assert done.returncode != 0
    assert re.search(error, done.stderr), done.stderr[-2000:]
    assert "misbehaving.cu:" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ROOMS)
def test_no_kernel_reads_or_writes_where_it_must_not(name, sanitized):
    """All versions on all cases, and tensor cores where there are some, under the sanitizers."""
    checks = SOURCE.with_name("checks.py")
    code = (
        f"import importlib.util as u; s = u.spec_from_file_location('checks', {str(checks)!r}); c = u.module_from_spec(s);"
        f"s.loader.exec_module(c); c.run_everything({name!r}); print('all is well')"
    )
    done = run_sanitized(sanitized, code)
    assert done.stdout.strip() == "all is well", done.stderr[-3000:]


def test_a_file_is_compiled_anew_when_a_header_has_changed(tmp_path, monkeypatch):
    source, header = tmp_path / "twice.cu", tmp_path / "part.cuh"
    made = []
    monkeypatch.setattr(emulator, "_compiler", lambda: "g++")
    monkeypatch.setattr(emulator, "_folders", lambda: [tmp_path])
    monkeypatch.setattr(emulator, "headers", lambda: tmp_path)
    monkeypatch.setattr(emulator, "_compile", lambda *arguments: made.append(arguments[-1]))
    for code, included in (("a", "1"), ("a", "1"), ("a", "2"), ("b", "2")):
        source.write_text(code)
        header.write_text(included)
        emulator._compiled(source, ("twice",))
    assert made[0] == made[1]
    assert len(set(made)) == 3
