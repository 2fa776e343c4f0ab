"""Rows: right before fast. What is wrong, on whatever size, is not timed."""

import numpy as np
import pytest

from scratchlv import ops
from scratchlv.bench import machine, rows, workloads
from scratchlv.errors import UserError
from scratchlv.kernels.matmul.versions import VERSIONS

from .examples import CEILINGS, measured, timed


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


def test_another_use_of_a_room_has_rows_of_its_own(small, monkeypatch):
    room = workloads.ROOMS["relu"]
    also = room._replace(others=(lambda rng: room.make(rng, 5),))
    monkeypatch.setitem(rows.ROOMS, "relu", also)
    found = [m.row for m in rows.measure("relu", rows.versions("relu"), CEILINGS, None, lambda text: None, others=True)]
    assert [row.shapes for row in found] == 4 * ["x (3, 1024)"] + 4 * ["x (5, 1024)"]
    assert all(row.warm and not row.wrong for row in found)
    assert len({(row.version, row.part, row.shapes) for row in found}) == 8


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


def test_numbered_versions_and_a_baseline_are_checked_and_timed_forward(small, monkeypatch):
    versions = {"1: right": lambda a, b: b.T.dot(a.T).T, "2: wrong": lambda a, b: a + b, "3: shape": lambda a, b: a[0]}
    monkeypatch.setattr("scratchlv.kernels.matmul.versions.VERSIONS", versions)
    found = {row.version: row for row in measured("matmul") if row.part != "backward"}
    assert found["1: right"].part == "forward"
    assert found["1: right"].warm is not None
    assert "4096 of 4096 numbers" in found["2: wrong"].wrong
    assert "shape" in found["3: shape"].wrong
    (baseline,) = (row for name, row in found.items() if name.startswith("numpy ("))
    assert baseline.warm is not None
    assert machine.blas() in baseline.version


def test_what_cannot_serve_says_so(small, monkeypatch):
    monkeypatch.setattr(ops.relu.variant("numba_cpu"), "limits", lambda *a, **how: "it is Monday")
    (row,) = (row for row in measured("relu") if row.version == "numba_cpu")
    assert (row.not_served, row.warm, row.wrong) == ("it is Monday", None, "")


# --- what is chosen --------------------------------------------------------------------------------------------------


def names(*chosen):
    return [version.name for version in rows.versions(*chosen)]


def test_one_variant_with_all_that_it_has():
    assert names("matmul", "reference") == ["reference"]
    assert names("conv2d", "numba_cpu") == ["numba_cpu", "numba_cpu, Winograd"]
    assert names("matmul", "numba_cpu") == ["numba_cpu", *VERSIONS]
    assert names("matmul") == ["reference", "numba_cpu", *VERSIONS, f"numpy ({machine.blas()})"]


def named(number, *operations, variant="numba_cpu"):
    found = rows.numbered({name: rows.versions(name, variant) for name in operations}, variant, number)
    return {name: [version.name for version in versions] for name, versions in found.items()}


@pytest.mark.parametrize("number", range(1, len(VERSIONS) + 1))
def test_one_numbered_version_alone(number):
    assert named(number, "matmul") == {"matmul": [list(VERSIONS)[number - 1]]}
    assert list(VERSIONS)[number - 1].startswith(f"{number} ")


def test_rooms_without_that_version_are_left_out_which_is_told(capsys):
    assert list(named(1, "lstm", "matmul", "relu")) == ["matmul"]
    assert capsys.readouterr().err == "note: left out, without a version 1 of numba_cpu: lstm, relu\n"


def test_what_is_not_there_lists_what_there_is():
    with pytest.raises(UserError, match="relu has no variant 'numba'; it has reference, numba_cpu, cuda"):
        rows.versions("relu", "numba")
    said = r"no version 7 of the variant numba_cpu: matmul has 1 \(three loops\), .*6 \(in parallel\); lstm has none$"
    with pytest.raises(UserError, match=said):
        named(7, "matmul", "lstm")
    with pytest.raises(UserError, match="no version 1 of the variant reference: matmul has none$"):
        named(1, "matmul", variant="reference")


def test_what_takes_less_than_the_ceiling_allows_exceeds_it():
    row = timed(1e-3)
    row.least_seconds = 0.99e-3
    assert not row.exceeds
    row.least_seconds = 1.01e-3
    assert row.exceeds
    assert row.to_json()["exceeds"]
    row.version = "numba_cpu, Winograd"  # does with fewer operations than are counted
    assert not row.exceeds
