"""Threads: how many, in a fork, and two of Python's at once."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import prange

import scratchlv
from scratchlv import ops
from scratchlv.kernels.building_blocks.compiling import kernel
from scratchlv.kernels.building_blocks.threads import n_threads, new_counter, next_item, waking, worth_waking

ROOT = Path(__file__).resolve().parents[2]
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def test_the_number_of_threads_is_set_and_the_one_before_returned(threads):
    before = scratchlv.set_threads(1)
    assert before == numba.config.NUMBA_NUM_THREADS
    assert numba.get_num_threads() == 1
    assert scratchlv.set_threads(before) == 1


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2", None])
def test_what_is_no_number_of_threads_is_refused(threads, n):
    with pytest.raises(ValueError, match=r"threads: give (1 or more|a whole number)"):
        scratchlv.set_threads(n)


def test_more_threads_than_there_are_need_a_variable(threads):
    more = numba.config.NUMBA_NUM_THREADS + 1
    with pytest.raises(ValueError, match=f"there are {more - 1}; set NUMBA_NUM_THREADS={more}"):
        scratchlv.set_threads(more)


def test_work_is_divided_among_as_many_threads_as_there_are_cores_and_no_more(threads, monkeypatch):
    for cores, most in ((1, 1), (2, 2), (100, numba.config.NUMBA_NUM_THREADS)):
        monkeypatch.setattr("scratchlv.kernels.building_blocks.threads._cores", cores)
        threads(numba.config.NUMBA_NUM_THREADS)
        assert n_threads() == most
        threads(1)
        assert n_threads() == 1


@pytest.mark.parametrize("most", [1, 2])
def test_what_is_not_worth_waking_the_others_runs_alone_and_they_are_back_afterwards(threads, most):
    threads(most)
    with waking(False) as n:
        assert n == numba.get_num_threads() == 1
        with waking(True) as n:
            assert n == 1
    assert numba.get_num_threads() == most
    with waking(True) as n:
        assert n == numba.get_num_threads() == most
    with pytest.raises(ZeroDivisionError), waking(False):
        1 / 0  # noqa: B018
    assert numba.get_num_threads() == most


def test_a_sweep_over_few_numbers_runs_alone(threads, monkeypatch):
    monkeypatch.setattr("scratchlv.kernels.building_blocks.threads.WORTH_WAKING", 100)
    threads(2)
    for numbers, n in ((0, 1), (99, 1), (100, 2)):
        with worth_waking(numbers) as found:
            assert found == n


def test_the_import_of_scratchlv_finds_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'set_thread'"):
        scratchlv.set_thread  # noqa: B018


def products(seed):
    rng = np.random.default_rng(seed)
    x, W = rng.standard_normal((70, 90), np.float32), rng.standard_normal((90, 110), np.float32)
    y, cache = ops.linear.forward(x, W)
    return y, *ops.linear.backward(y, cache)[:2]


def test_two_python_threads_at_once():
    expected = {seed: products(seed) for seed in range(4)}
    wrong = []

    def work(seed):
        for _ in range(30):
            for got, right in zip(products(seed), expected[seed], strict=True):
                if got.tobytes() != right.tobytes():
                    wrong.append(seed)

    at_once = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    assert not wrong


# --- taking work ---------------------------------------------------------------------------------------------------


@kernel(parallel=True)
def take(by, items, threads):
    """Note which thread takes an item, and how often it is taken; the first thread is slow."""
    counter = new_counter()
    for thread in prange(threads):
        item = next_item(counter)
        while item < items:
            by[item, thread] += 1
            if thread == 0:
                x = 1.0
                for _ in range(20_000_000):
                    x = x * 1.0000001 + 1e-9
                by[item, thread] += x < 0
            item = next_item(counter)


@pytest.mark.parametrize("n", [0, 1, 3, 50])
def test_each_item_is_taken_once_and_by_whoever_is_free(n):
    by = np.zeros((n, 2), np.int64)
    take(by, n, 2)
    assert (by.sum(1) == 1).all()
    if n == 50:
        assert by[:, 1].sum() > 40


# --- forks -------------------------------------------------------------------------------------------------------

FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from scratchlv import ops
x, W = np.ones((40, 50), np.float32), np.ones((50, 60), np.float32)
if "first" not in sys.argv:
    ops.linear.forward(x, W)  # the threads start
child = os.fork()
if child == 0:
    try:
        print("child", ops.linear.forward(x, W)[0][0, 0])
    except RuntimeError as error:
        print("child", error)
    try:
        ops.relu.forward(x)  # a room that the parent never opened
        print("room")
    except RuntimeError as error:
        print("room", error)
    sys.stdout.flush()
    os._exit(0)
print("status", os.waitpid(child, 0)[1])
print("parent", ops.linear.forward(x, W)[0][0, 0])
if "first" not in sys.argv:
    import numba
    from numba.np.ufunc import omppool
    print("layer", numba.threading_layer(), omppool.openmp_vendor)
"""


def fork(*arguments, **environment):
    """What was printed, by its first word."""
    kept = {k: v for k, v in os.environ.items() if k != "NUMBA_THREADING_LAYER"}
    done = subprocess.run(
        [sys.executable, "-c", FORK, *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = {line.split()[0]: line.partition(" ")[2] for line in done.stdout.splitlines()}
    assert said["status"] == "0"
    assert said["parent"] == "50.0"
    return said


@can_fork
def test_a_fork_after_the_threads_have_started_is_one_clear_error():
    said = fork()
    if said["layer"] != "omp GNU":
        pytest.skip(f"Numba's threads are here of {said['layer']}, which lives on in a fork or is not ours to guard")
    for word in ("child", "room"):
        for part in ("forked", "spawn", "forkserver", "before the first kernel"):
            assert part in said[word]
        assert "NUMBA_THREADING_LAYER" not in said[word]  # under workqueue two threads of Python abort the process


@can_fork
def test_a_fork_before_the_first_kernel_computes():
    assert fork("first")["child"] == "50.0"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_ways_to_start_processes_that_are_named_do_work(method, tmp_path):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    (tmp_path / "script.py").write_text(
        f"""
import multiprocessing
import numpy as np
from scratchlv import ops

def work(n):
    return float(ops.linear.forward(np.ones((n, 3), np.float32), np.ones((3, 2), np.float32))[0].sum())

if __name__ == "__main__":
    assert work(4) == 24
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(pool.map(work, [5, 6]))
"""
    )
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[30.0, 36.0]"


# --- other threads -----------------------------------------------------------------------------------------------

POOLS = """
import os, sys
from pathlib import Path
tasks = Path("/proc/self/task")
before = {t.name for t in tasks.iterdir()}
import numpy as np
pool = {t.name for t in tasks.iterdir()} - before  # those of NumPy's BLAS; Numba's have not started yet

def worked():
    return sum(int((tasks / t / "schedstat").read_text("utf-8").split()[0]) for t in pool)  # ns

a = np.ones((600, 600), np.float32)
idle = worked()
a @ a
print(len(pool), worked() - idle)
from scratchlv.tasks import warmup
for task, model in warmup.models():
    list(warmup.warm_up([f"{task}:{model}"]))  # what is computed but once may use what it likes
    idle = worked()
    list(warmup.warm_up([f"{task}:{model}"]))
    print(f"{task}:{model}", worked() - idle)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system does not tell of its threads")
def test_no_other_pool_of_threads_works_beside_the_kernels_in_any_model():
    """NumPy's BLAS has threads, too; where both pools work in one pass they fight for the cores."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, "-c", POOLS], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (threads, product), *models = (line.split() for line in done.stdout.splitlines())
    if threads == "0" or product == "0":
        pytest.skip("NumPy's BLAS has no threads here")
    assert len(models) > 10
    assert [(model, ns) for model, ns in models if ns != "0"] == []
