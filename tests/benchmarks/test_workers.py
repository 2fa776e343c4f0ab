"""``benchmarks/workers.py``: processes that answer, and what is said of one that fails."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from .conftest import BENCHMARKS

SIDE = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS)!r})
from pathlib import Path
import workers
with workers.as_worker() as answers:
    print("not for the parent")
    if sys.argv[1] == "fails":
        sys.exit("it cannot")
    workers.serve({{"x": [1.0, 2.0]}}, Path(sys.argv[-1]), answers, lambda line: {{"squared": int(line) ** 2}})
"""


@pytest.fixture
def workers(benchmarks):
    return benchmarks("workers")


def worker(workers, tmp_path, what):
    (tmp_path / "side.py").write_text(SIDE)
    return workers.Worker("a side", [tmp_path / "side.py", what], dict(os.environ), tmp_path)


def test_it_answers_what_it_is_asked(workers, tmp_path):
    with worker(workers, tmp_path, "works") as side:
        np.testing.assert_array_equal(side.start()["x"], [1, 2])
        assert side.run(3) == {"squared": 9}
        assert side.run(4) == {"squared": 16}
        with pytest.raises(workers.Refused, match="a side failed: ValueError"):
            side.run("four")
    assert side.process.returncode is not None
    assert [path.name for path in tmp_path.iterdir()] == ["side.py"]


def test_its_last_words_are_told(workers, tmp_path):
    with worker(workers, tmp_path, "fails") as side, pytest.raises(workers.Refused, match="a side failed: it cannot"):
        side.start()


def test_the_ceilings_of_a_run_are_the_best_that_were_seen(benchmarks, tmp_path):
    ceiling = benchmarks("ceiling")
    answers = iter([100e9, 90e9, [95e9, {"copy": 8e9}, {"262144": {"copy": 50e9}}]])
    asked = []

    class Worker:
        process = SimpleNamespace(pid=1)

        def __init__(self, *_):
            self.kill = lambda: None

        def start(self):
            return {"width": np.array(16)}

        def run(self, request):
            asked.append(request)
            return next(answers)

    ceiling.Worker = Worker
    with ceiling.Ceiling({}, tmp_path) as found:
        found.measure_peak()
        found.measure_peak()
        whole = found.measure()
    with pytest.raises(ceiling.Refused, match="vectors of 8 floats were asked for, and kernels use 16"):
        ceiling.Ceiling({"SCRATCHLV_VECTORS": "8"}, tmp_path).__enter__()
    assert asked == ["peak", "peak", "all"]
    assert (found.peak, whole.peak) == (100e9, 100e9)
    assert whole.bandwidth(1 << 19) == 50e9
