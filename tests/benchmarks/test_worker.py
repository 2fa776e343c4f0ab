"""``benchmarks/worker.py``: the protocol of a worker, and whose kernels it uses. Nothing is timed here."""

import io
import json

import numpy as np
import pytest

from scratchlv import ops


@pytest.fixture
def worker(benchmarks):
    return benchmarks("worker")


class Clock:
    """Time that passes only when a step lets it."""

    def __init__(self, monkeypatch, worker):
        self.now, self.steps = 0.0, 0
        monkeypatch.setattr(worker.time, "perf_counter", lambda: self.now)

    def step(self, seconds):
        self.now += seconds
        self.steps += 1


def test_steps_are_timed_for_about_so_long(worker, monkeypatch):
    clock = Clock(monkeypatch, worker)
    times = worker.timed(lambda: clock.step(0.25), 1.0)
    assert times == [250.0] * 3  # the first warmed the caches
    assert clock.steps == 4
    assert worker.timed(lambda: clock.step(9.0), 1.0) == [9000.0]


@pytest.mark.parametrize(("side", "variant"), [("scratchlv", "numba_cpu"), ("textbook NumPy", "reference")])
def test_results_first_then_times_as_they_are_asked_for(worker, benchmarks, monkeypatch, tmp_path, side, variant):
    case, table = benchmarks("case"), benchmarks("table")
    a = np.ones((3, 3), np.float32)

    def build():
        found = {"x": np.arange(3.0), "variant": np.array(ops.matmul.choose(a, a)[0])}
        return case.Task(lambda: None, lambda: found)

    monkeypatch.setattr(table, "all_cases", lambda: {"mine": case.Case("mine", "", build, ())})
    monkeypatch.setattr("sys.stdin", io.StringIO("0.001\n0.001\n"))
    answers = io.StringIO()
    worker.serve("mine", side, tmp_path / "results.npz", answers)
    ready, *times = answers.getvalue().splitlines()
    assert ready == "ready"
    assert len(times) == 2
    assert all(min(json.loads(line)) >= 0 for line in times)
    with np.load(tmp_path / "results.npz") as results:
        np.testing.assert_array_equal(results["x"], np.arange(3.0))
        assert str(results["variant"]) == variant
