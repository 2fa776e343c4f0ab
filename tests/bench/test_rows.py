"""The bench: right before fast, ceilings that bound, verdicts that know their noise; no time is ever asserted."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.bench import ceilings, command, compare, machine, plot, rows, timing, workloads
from scratchlv.bench.ceilings import Ceilings, last_level_cache
from scratchlv.bench.timing import Timing
from scratchlv.errors import UserError

CEILINGS = Ceilings(100e9, {"copy": 8e9, "triad": 9e9, "update": 10e9}, {1 << 18: 50e9, 1 << 20: 40e9})
ROOMS = [name for name in ops.OPERATIONS if name in workloads.ROOMS]


@pytest.fixture
def small(monkeypatch):
    """Workloads and timings that take no time, and ceilings that were not measured."""
    tiny = {name: room._replace(sizes=room.sizes[:1] * 2) for name, room in workloads.ROOMS.items()}
    tiny["relu"] = tiny["relu"]._replace(sizes=(2, 3))
    for module in (workloads, rows, command, plot):
        if hasattr(module, "ROOMS"):
            monkeypatch.setattr(module, "ROOMS", tiny)
    monkeypatch.setattr(timing, "_MOST", 3)
    monkeypatch.setattr(ceilings, "measure", lambda: CEILINGS)


def silence(text):
    pass


def measured(name):
    return [m.row for m in rows.measure(name, CEILINGS, lambda: None, silence)]


# --- workloads ---------------------------------------------------------------------------------------------------


def test_every_operation_has_a_workload():
    assert set(ops.OPERATIONS) <= set(workloads.ROOMS)


def arrays(value):
    if isinstance(value, tuple | list):
        return [array for item in value for array in arrays(item)]
    return [np.asarray(value)] if np.ndim(value) else []


@pytest.mark.parametrize("name", ROOMS)
def test_bytes_are_those_of_inputs_and_outputs(name):
    """Counted on the arrays themselves; biases, first states and the places of a maximum may be left out."""
    room, operation = workloads.ROOMS[name], getattr(ops, name)
    workload = room.make(np.random.default_rng(0), room.sizes[0])
    inputs = [value for value in workload.inputs.values() if isinstance(value, np.ndarray)]
    assert all(value.dtype == np.float32 for value in inputs if value.dtype.kind == "f")
    if "step" in workload.work:
        updated = [value for key, value in workload.inputs.items() if key in ("params", "m", "v")]
        counted = sum(array.nbytes for array in [*inputs, *updated])
        assert workload.work["step"].bytes == counted
        return
    y, cache = operation.variant("reference").forward(**workload.inputs)
    counted = sum(array.nbytes for array in [*inputs, *arrays(y)])
    if name == "embedding":  # of the table only the rows that are looked up
        counted += y.nbytes - workload.inputs["W"].nbytes
    if "forward" in workload.work:
        assert workload.work["forward"].bytes == pytest.approx(counted, rel=0.08)
        grads = operation.variant("reference").backward(rows._output_gradient(y), cache)
        least = sum(array.nbytes for array in arrays([g for g in grads if g is not None]))
        assert workload.work["backward"].bytes > 0.99 * least


@pytest.mark.parametrize(
    ("name", "multiply_adds"), [("matmul", 64**3), ("linear", 640 * 512 * 64), ("conv2d", 8 * 56 * 56 * 9 * 16 * 16)]
)
def test_operations_are_twice_the_multiply_adds_and_twice_that_again_backward(name, multiply_adds):
    room = workloads.ROOMS[name]
    work = room.make(np.random.default_rng(0), room.sizes[0]).work
    assert work["forward"].operations == pytest.approx(2 * multiply_adds, rel=0.01)
    assert work["backward"].operations == pytest.approx(4 * multiply_adds, rel=0.01)


# --- time --------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when a call lets it."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, 0
        monkeypatch.setattr(timing, "perf_counter", lambda: self.now)

    def takes(self, *seconds):
        def call():
            self.now += seconds[self.calls % len(seconds)]
            self.calls += 1

        return call


def test_the_median_and_its_band(monkeypatch):
    clock = Clock(monkeypatch)
    found = timing.time_calls(clock.takes(0.01, 0.02, 0.03, 0.04, 0.05), seconds=3)
    assert (found.median, found.p20, found.p80) == pytest.approx((0.03, 0.02, 0.04), rel=0.1)
    assert found.least == pytest.approx(0.01)
    assert found.samples == timing._MOST


def test_what_is_done_before_is_not_timed(monkeypatch):
    clock = Clock(monkeypatch)
    found = timing.time_calls(lambda: clock.takes(0.01)(), seconds=1, before=clock.takes(5.0))
    assert found.median == pytest.approx(0.01)


def test_a_long_call_is_timed_once_and_a_short_one_many_times_at_once(monkeypatch):
    clock = Clock(monkeypatch)
    assert timing.time_calls(clock.takes(7.0), seconds=1).samples == 1
    clock.calls = 0
    found = timing.time_calls(clock.takes(1e-6), seconds=1e9)
    assert found.median == pytest.approx(1e-6)
    assert clock.calls > 100 * found.samples


# --- ceilings ----------------------------------------------------------------------------------------------------


def test_the_lower_ceiling_bounds():
    far = 8 * last_level_cache()
    assert CEILINGS.best_memory == 10e9
    assert CEILINGS.least_seconds(1e6, far) == far / 10e9
    assert CEILINGS.least_seconds(1e12, far) == 10
    assert CEILINGS.least_seconds(0, 1 << 19) == (1 << 19) / 50e9  # in a cache, so fast
    assert CEILINGS.least_seconds(0, 1 << 21) == (1 << 21) / 40e9


def test_the_better_of_two_measurements_counts():
    slower = Ceilings(50e9, {"copy": 9e9, "triad": 1e9, "update": 1e9}, {1 << 18: 1e9, 1 << 20: 60e9})
    best = CEILINGS.better(slower)
    assert best.peak == 100e9
    assert best.memory == {"copy": 9e9, "triad": 9e9, "update": 10e9}
    assert best.caches == {1 << 18: 50e9, 1 << 20: 60e9}


def test_ceilings_are_measured():
    found = ceilings.measure(most=1 << 20)
    assert found.peak > 0
    assert all(speed > 0 for speed in (*found.memory.values(), *found.caches.values()))
    assert json.loads(json.dumps(found.to_json()))["memory_gbs"] == pytest.approx(found.best_memory / 1e9)


def test_the_multiply_adds_are_done():
    """Were they optimised away, the peak would be a fable."""
    from scratchlv.kernels.building_blocks.simd import WIDTH

    numbers = np.full((1, (ceilings._SUMS + 2) * WIDTH), 0.5, np.float32)
    ceilings._multiply_add(numbers, 1)
    # 0.5 * 0.5 is added so many times, in float32 without rounding
    np.testing.assert_array_equal(numbers[0, 2 * WIDTH :], np.float32(0.5 + 0.25 * ceilings._ROUNDS))


# --- right first -------------------------------------------------------------------------------------------------


def test_rows_of_a_right_room(small):
    found = measured("relu")
    assert [(row.version, row.part) for row in found] == [
        (variant, part) for variant in ("reference", "numba_cpu") for part in ("forward", "backward")
    ]
    for row in found:
        assert not row.wrong
        assert row.warm.p20 <= row.warm.median <= row.warm.p80
        assert row.cold.samples > 0
        assert row.share == row.least_seconds / row.warm.median
        assert row.intensity == row.operations / row.bytes


def refused(name, version):
    found = [row for row in measured(name) if row.version == version]
    assert len(found) == 1
    assert found[0].warm is None
    return found[0].wrong


def test_a_wrong_forward_pass_is_not_timed(small, monkeypatch):
    module = ops.relu.variant("numba_cpu")
    forward = module.forward
    monkeypatch.setattr(
        module, "forward", lambda x, **how: (forward(x, **how)[0] * np.float32(1.001), forward(x, **how)[1])
    )
    assert "y: error" in refused("relu", "numba_cpu")


def test_a_wrong_backward_pass_is_not_timed(small, monkeypatch):
    module = ops.relu.variant("numba_cpu")
    monkeypatch.setattr(module, "backward", lambda dy, cache: (dy,))
    assert "dx: error" in refused("relu", "numba_cpu")


def test_one_that_is_wrong_on_the_large_size_only_is_not_timed(small, monkeypatch):
    module = ops.relu.variant("numba_cpu")
    forward = module.forward

    def wrong(x, **how):
        y, cache = forward(x, **how)
        if len(x) == 3:
            y[-1, -1] = np.nan
        return y, cache

    monkeypatch.setattr(module, "forward", wrong)
    assert "nan" in refused("relu", "numba_cpu")


def test_a_wrong_step_is_not_timed(small, monkeypatch):
    module = ops.adam.variant("numba_cpu")
    step = module.step
    monkeypatch.setattr(module, "step", lambda *a, t, **how: step(*a, t=t + 1, **how))
    assert "params: error" in refused("adam", "numba_cpu")


def test_steps_that_are_timed_do_not_change_the_workload():
    workload = workloads.ROOMS["adam"].make(np.random.default_rng(0), 1)
    before = workload.inputs["params"].copy()
    rows._steps(ops.adam.variant("reference"))(workload)["step"]()
    np.testing.assert_array_equal(workload.inputs["params"], before)


def test_numbered_versions_and_peers_are_checked_and_timed_forward(small, monkeypatch):
    versions = {"1: right": lambda a, b: b.T.dot(a.T).T, "2: wrong": lambda a, b: a + b, "3: shape": lambda a, b: a[0]}
    monkeypatch.setattr("scratchlv.kernels.matmul.versions.VERSIONS", versions)
    found = {row.version: row for row in measured("matmul") if row.part != "backward"}
    assert found["1: right"].part == "forward"
    assert found["1: right"].warm is not None
    assert "4096 of 4096 numbers" in found["2: wrong"].wrong
    assert "shape" in found["3: shape"].wrong
    (peer,) = (row for name, row in found.items() if name.startswith("numpy ("))
    assert peer.warm is not None
    assert machine.blas() in peer.version


def test_what_cannot_serve_says_so(small, monkeypatch):
    monkeypatch.setattr(ops.relu.variant("numba_cpu"), "limits", lambda *a, **how: "it is Monday")
    (row,) = (row for row in measured("relu") if row.version == "numba_cpu")
    assert (row.not_served, row.warm, row.wrong) == ("it is Monday", None, "")


# --- two runs ----------------------------------------------------------------------------------------------------


def around(median, spread=0.01):
    return Timing(median, median * (1 - spread), median * (1 + spread), median * (1 - spread), 9)


@pytest.mark.parametrize(
    ("then", "now", "again", "said"),
    [
        (around(1.0), around(1.0), None, "within noise"),
        (around(1.0), around(1.025), None, "within noise"),  # bands apart, but by less than any two runs differ
        (around(1.0), around(1.5), around(1.5), "slower, 1.50x"),
        (around(1.5), around(1.0), around(1.0), "faster, 1.50x"),
        (around(1.0), around(1.5), around(1.0), "did not confirm"),
        (around(1.0), around(1.5), around(0.5), "did not confirm"),  # now it is faster: neither is believed
        (Timing(1.0, 0.99, 1.2, 0.9, 9), Timing(1.3, 1.15, 1.31, 1.1, 9), None, "within noise"),  # their bands overlap
        (around(1.0, spread=0.3), around(1.5), around(1.5), "within noise (±60%)"),
    ],
)
def test_a_verdict_knows_its_noise(then, now, again, said):
    assert said in compare.judge(then, now, None if again is None else lambda: again)[1]


def document(*found):
    here = machine.describe()
    return json.loads(json.dumps(command._document(here, CEILINGS, list(found), {}, False)))


def timed(median, operation="relu", version="numba_cpu", shapes="x (3, 4)"):
    row = rows.Row(operation, version, "forward", shapes, warm=around(median), cold=around(median))
    row.operations, row.bytes, row.least_seconds = 1e6, 1e6, median / 2
    return row


def test_only_rows_of_the_same_work_are_compared():
    before = document(timed(1.0), timed(1.0, "adam"), timed(1.0, shapes="x (5, 4)"))
    now = [rows.Measured(timed(2.0), lambda: around(2.0)), rows.Measured(timed(1.0, "lstm"))]
    (line,) = compare.compare(before, now)
    assert "relu numba_cpu forward" in line
    assert "slower, 2.00x" in line
    (nothing,) = compare.compare(document(timed(1.0, "adam")), now)
    assert "no row" in nothing


def test_the_largest_change_comes_first():
    before = document(timed(1.0), timed(1.0, "adam"))
    now = [rows.Measured(timed(1.1)), rows.Measured(timed(3.0, "adam"))]
    assert [line.split()[0] for line in compare.compare(before, now)] == ["adam", "relu"]


def test_another_machine_is_named():
    before, now = document(), document()
    assert list(compare.differences(before, now)) == []
    before["machine"] |= {"threads": 64, "processor": "abacus"}
    before["ceilings"]["peak_gflops"] /= 2
    sentences = "\n".join(compare.differences(before, now))
    for part in ("threads was 64", "processor was abacus", "peak_gflops was 50.0, and is 100.0"):
        assert part in sentences


@pytest.mark.parametrize("text", ["{", "[]", '{"scratchlv_bench": 0}', None])
def test_what_is_no_run_cannot_be_compared(tmp_path, text):
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"run\.json .*--json"):
        compare.read(path)


# --- the command -------------------------------------------------------------------------------------------------


def test_what_it_prints_and_writes(small, tmp_path, capsys):
    out, drawn = tmp_path / "run.json", tmp_path / "roofline.svg"
    assert command.run(["relu", "adam"], out, None, drawn) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.err
    for part in (machine.blas(), "GFLOP/s", "reference", "numba_cpu", "forward", "backward", "step", "x (3, 1024)"):
        assert part in said.out
    written = json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert written["machine"].keys() >= {"processor", "threads", "blas", "numpy", "commit", "date", "OPENBLAS_CORETYPE"}
    assert written["ceilings"]["peak_gflops"] == 100
    assert not written["interrupted"]
    assert {row["operation"] for row in written["rows"]} == {"relu", "adam"}
    for row in written["rows"]:
        assert {"shapes", "dtype", "warm", "cold", "gflops", "gbs", "intensity", "share", "compiled"} <= row.keys()
        assert row["warm"].keys() == {"median", "p20", "p80", "least", "samples"}
    assert len(written["curves"]["relu"]["backward"]) == 2
    ElementTree.fromstring(drawn.read_text())
    assert command.run(["relu"], None, out) == 0
    assert "relu numba_cpu backward" in capsys.readouterr().out


def test_a_wrong_kernel_ends_in_status_1(small, monkeypatch, capsys):
    monkeypatch.setattr(ops.relu.variant("numba_cpu"), "backward", lambda dy, cache: (dy,))
    assert command.run(["relu"]) == 1
    assert "WRONG: relu numba_cpu: dx: error" in capsys.readouterr().out


def test_an_interrupted_run_writes_what_it_has(small, monkeypatch, tmp_path, capsys):
    measure = rows.measure

    def pressed(name, *arguments):
        yield next(measure(name, *arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "measure", pressed)
    assert command.run(["relu", "adam"], tmp_path / "run.json") == 130
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["interrupted"]
    assert [row["operation"] for row in written["rows"]] == ["relu"]
    assert "interrupted" in capsys.readouterr().out


def test_mistakes_are_found_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr(ceilings, "measure", lambda: pytest.fail("it began"))
    with pytest.raises(UserError, match="no operation 'lsmt'; there are matmul"):
        command.run(["lsmt"])
    for option in (0, 1):
        for path in (tmp_path, tmp_path / "no" / "run.json"):
            files = [None, None]
            files[option] = path
            with pytest.raises(UserError, match="cannot be written"):
                command.run(["relu"], files[0], None, files[1])
    with pytest.raises(UserError, match="cannot be read"):
        command.run(["relu"], None, tmp_path / "absent.json")


# --- the picture -------------------------------------------------------------------------------------------------


def test_labels_lie_on_nothing():
    """Forty dots in a heap."""
    frame, rng = (0.0, 0.0, 1000.0, 600.0), np.random.default_rng(0)
    dots = [(500 + 20 * x, 300 + 20 * y) for x, y in rng.random((40, 2))]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    for k, dot in enumerate(dots):
        assert plot._label(f"operation {k}", dot, taken, frame, "#000")
    assert len(taken) == 80
    for k, box in enumerate(taken[40:], 40):
        assert plot._inside(box, frame)
        assert not any(plot._overlap(box, other) for other in taken[:k])


def test_a_kernel_at_the_ceiling_is_drawn_on_it():
    axes = plot.Axes((0, 0, 100, 100), [0.1, 100], [1, 1000], pad=0)
    assert axes.place(0.1, 1) == pytest.approx((0, 100))
    assert axes.place(100, 1000) == pytest.approx((100, 0))
    row = timed(1.0).to_json() | {"intensity": 2.0, "gflops": 20.0}
    page = ElementTree.fromstring(plot.page({**document(), "rows": [row]}))
    svg = "{http://www.w3.org/2000/svg}"
    corners = [tuple(map(float, p.split(","))) for p in page.find(f"{svg}polyline").get("points").split()]
    dots = [(float(c.get("cx")), float(c.get("cy"))) for c in page.iter(f"{svg}circle") if float(c.get("cy")) > 80]
    (x0, y0), (x1, y1), _ = corners
    assert dots[0][1] == pytest.approx(y0 + (dots[0][0] - x0) / (x1 - x0) * (y1 - y0), abs=0.2)  # 2 flop/byte × 10 GB/s
