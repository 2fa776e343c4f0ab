"""How many cores a process may use: by affinity, and by the limits of cgroups, of both versions, nested."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scratchlv import cores
from scratchlv.cores import Cores, cgroup_limits, usable_cores

ROOT = Path(__file__).resolve().parents[1]
V1 = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
V2 = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n"


def system(root, mounts, group, **files):
    """A root folder that looks like that of a system, with a process in ``group``."""
    proc = root / "proc/self"
    proc.mkdir(parents=True)
    (proc / "mounts").write_text(mounts)
    (proc / "cgroup").write_text(group)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


@pytest.mark.parametrize(
    ("mounts", "group", "files", "limits"),
    [
        (V2, "0::/user/job\n", {"user/job/cpu.max": "150000 100000\n"}, [1.5]),
        (V2, "0::/user/job\n", {"user/job/cpu.max": "max 100000\n", "user/cpu.max": "50000 100000\n"}, [0.5]),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "200000 100000\n"}, [4, 2]),
        (V2, "0::/docker/outside\n", {"cpu.max": "300000 100000\n"}, [3]),  # a container without a namespace of cgroups
        (V2, "0::/../../x\n", {"cpu.max": "300000 100000\n"}, [3]),
        (V2, "0::/\n", {}, []),
        (V2, "0::/\n", {"cpu.max": "0 0\n"}, []),
        (V2, "0::/\n", {"cpu.max": "garbage\n"}, []),
        (
            V1,
            "5:memory:/other\n3:cpu,cpuacct:/a/b\n1:name=systemd:/x\n0::/x\n",
            {
                "cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
                "cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
                "memory/other/cpu.cfs_quota_us": "1\n",
            },
            [2.5],
        ),
    ],
)
def test_limits_of_cgroups(tmp_path, mounts, group, files, limits):
    assert list(cgroup_limits(system(tmp_path, mounts, group, **files))) == limits


def test_a_system_without_cgroups_has_no_limits(tmp_path):
    assert list(cgroup_limits(tmp_path)) == []


@pytest.mark.parametrize(
    ("affinity", "limits", "n", "why"),
    [
        ({0, 1, 2, 3, 4, 5, 6, 7}, [], 8, "machine"),
        ({3, 5}, [], 2, "affinity"),
        ({3, 5}, [1.2, 16.0], 2, "affinity"),
        ({3, 5, 6}, [4.0, 1.2], 2, "cgroup, 1.2 cores"),
        ({3, 5, 6}, [0.1], 1, "cgroup, 0.1 cores"),
        (None, [], 8, "machine"),  # macOS, Windows
    ],
)
def test_the_smallest_counts_and_is_named(monkeypatch, affinity, limits, n, why):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    if affinity is None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: affinity, raising=False)
    monkeypatch.setattr(cores, "cgroup_limits", lambda: limits)
    found = usable_cores.__wrapped__()
    assert found.n == n
    assert why in found.why
    assert isinstance(found, Cores)


THREADS = """
import sys
if "numba" in sys.argv: import numba
import scratchlv.cores
scratchlv.cores.usable_cores = lambda: scratchlv.cores.Cores(3, "the test's")
from scratchlv.kernels.building_blocks import default_threads
from scratchlv.kernels.building_blocks.threads import n_threads
print(n_threads(), *default_threads)
"""


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ([], {}, "3 3 the test's"),
        (["numba"], {}, "3 3 the test's"),  # whoever imported Numba before us
        ([], {"NUMBA_NUM_THREADS": "2"}, "2 2 NUMBA_NUM_THREADS"),
        ([], {"NUMBA_NUM_THREADS": "0"}, "NUMBA_NUM_THREADS=0: give a whole number of threads, 1 to 1000"),
        ([], {"NUMBA_NUM_THREADS": "5000"}, "NUMBA_NUM_THREADS=5000: give a whole number of threads, 1 to 1000"),
        ([], {"NUMBA_NUM_THREADS": "two"}, "NUMBA_NUM_THREADS=two: give a whole number of threads, 1 to 1000"),
    ],
)
@pytest.mark.slow
def test_threads_of_a_process(arguments, variables, said):
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_NUM_THREADS"}
    environment = {**kept, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", THREADS, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert said in (done.stdout if done.returncode == 0 else done.stderr.splitlines()[-1])


def test_a_wrong_number_in_the_variable_is_one_sentence():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "0"}
    command = [sys.executable, "-m", "scratchlv", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "NUMBA_NUM_THREADS=0" in done.stderr
