"""``benchmarks/cpu.py``: what it refuses to time, and what it writes. Nothing is timed here."""

import json
import os

import numpy as np
import pytest

from scratchlv.bench import ceilings
from scratchlv.bench.ceilings import Ceilings

CEILINGS = Ceilings(100e9, {"copy": 8e9, "update": 10e9}, {1 << 20: 50e9})


@pytest.fixture
def cpu(benchmarks):
    return benchmarks("cpu")


def test_a_name_is_that_case_or_the_beginning_of_several(cpu):
    assert [case.name for case in cpu.choose(["lstm-lm"])] == ["lstm-lm"]
    assert [case.name for case in cpu.choose(["vgg16"])] == ["vgg16-n1", "vgg16-n8"]
    assert len(cpu.choose([])) == len(cpu.all_cases())


def test_an_unknown_name_lists_the_names(cpu, capsys):
    with pytest.raises(SystemExit) as ended:
        cpu.choose(["lstm-lm", "gru-lm"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "gru-lm" in said
    assert "stacked-attention" in said


def test_without_torch_it_says_what_it_needs(cpu, monkeypatch, capsys):
    monkeypatch.setattr(cpu, "version", lambda name: None)
    monkeypatch.setattr("sys.argv", ["cpu.py"])
    with pytest.raises(SystemExit) as ended:
        cpu.main()
    assert ended.value.code == 2
    assert "torch==2.13.0" in capsys.readouterr().err


def test_the_limit_is_the_longer_of_arithmetic_and_traffic_in_every_phase(cpu, benchmarks, monkeypatch):
    Phase = benchmarks("case").Phase
    phases = (Phase(2e9, 1e6), Phase(1e6, 5e7), Phase(bytes=5e7, working_set=3e7), Phase(bytes=4e7, pattern="copy"))
    case = cpu.Case("a", "", None, phases)
    monkeypatch.setattr(ceilings, "last_level_cache", lambda: 32 << 20)
    assert cpu.limit_ms(case, CEILINGS) == pytest.approx(20 + 5 + 1 + 5)
    monkeypatch.setattr(ceilings, "last_level_cache", lambda: 16 << 20)  # does not hold what the third works on
    assert cpu.limit_ms(case, CEILINGS) == pytest.approx(20 + 5 + 5 + 5)


def test_every_limit_can_be_told(cpu, monkeypatch):
    monkeypatch.setattr(ceilings, "_SECONDS", 0.001)
    limits = ceilings.measure(most=1 << 20)
    assert all(0 < cpu.limit_ms(case, limits) < np.inf for case in cpu.all_cases().values())


def test_rows_of_other_cases_stay_in_the_file(cpu, tmp_path):
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps([{"case": "adam", "ours_ms": 1}, {"case": "lstm-lm", "ours_ms": 2}]))
    cpu.Rows(file).add({"case": "lstm-lm", "ours_ms": 3})
    assert json.loads(file.read_text("utf-8")) == [{"case": "lstm-lm", "ours_ms": 3}, {"case": "adam", "ours_ms": 1}]
    assert list(tmp_path.iterdir()) == [file]


def test_rows_that_say_work_are_rows_of_cases(cpu, tmp_path):
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps([{"work": "adam", "ours_ms": 1}]))
    cpu.Rows(file).add({"case": "lstm-lm", "ours_ms": 3})
    assert json.loads(file.read_text("utf-8")) == [{"case": "lstm-lm", "ours_ms": 3}, {"case": "adam", "ours_ms": 1}]


def test_ratios_goals_and_the_fastest_of_each_kind(cpu, benchmarks):
    def way(kind, name, environment):
        return cpu.Way(cpu.Side(name, kind, build=None), environment)

    times = {
        way(cpu.OURS, "scratchlv", cpu.INSTALLED): [10.0, 9.0, 11.0],
        way(cpu.NUMPY, "textbook", cpu.INSTALLED): [50.0],
        way(cpu.TORCH, "eager", cpu.INSTALLED): [30.0],
        way(cpu.TORCH, "other", cpu.INSTALLED): [25.0],
        way(cpu.TORCH, "eager", cpu.TUNED): [12.0],
    }
    case = cpu.Case("a", "", None, (), benchmarks("case").Goal(ratio=2.0, ratio_best=1.3))
    row = cpu.row(case, CEILINGS, times, {}, {}, {})
    assert (row["ours_ms"], row["torch_ms"], row["torch_best_ms"], row["numpy_ms"]) == (10, 25, 12, 50)
    assert (row["ratio"], row["ratio_best"]) == (2.5, 1.2)
    assert not row["met"]
    assert "MISSED" in cpu.table([row])
    assert cpu.row(case, CEILINGS, {**times, way(cpu.TORCH, "eager", cpu.TUNED): [13.0]}, {}, {}, {})["met"]


# --- a side that is wrong --------------------------------------------------------------------------------------------


@pytest.fixture
def sides(cpu, monkeypatch):
    """Worker processes that are none: by the name of a side, its loss, or how it fails ("at once" or "later")."""
    losses = {"scratchlv": 2.0, "textbook NumPy": 2.0, "eager": 2.0, "other": 2.0, "compiled": 2.0}
    ended = []

    class Worker:
        def __init__(self, case, way, library, folder):
            self.way, self.loss = way, losses[way.side.name]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.kill()

        def start(self):
            if self.loss == "at once":
                raise cpu.Refused(f"{self.way.name} failed: at once")
            return {"loss": np.array(2.0 if self.loss == "later" else self.loss)}

        def run(self, seconds):
            assert self.way.side.name not in ended
            if self.loss == "later":
                raise cpu.Refused(f"{self.way.name} failed: later")
            return [1.0, 2.0, 3.0]

        def kill(self):
            ended.append(self.way.side.name)

    monkeypatch.setattr(cpu, "Worker", Worker)
    return losses


def measured(cpu, benchmarks):
    kinds = {"eager": cpu.TORCH, "other": cpu.TORCH, "compiled": benchmarks("case").COMPILED}
    baselines = tuple(cpu.Side(name, kind, build=None) for name, kind in kinds.items())
    return cpu.measure(cpu.Case("a", "", None, (), baselines=baselines), CEILINGS, None, None)


@pytest.mark.parametrize("wrong", [2.1, np.nan, "at once", "later"])
def test_a_wrong_side_is_left_out_and_the_others_are_timed(cpu, benchmarks, sides, wrong, capsys):
    sides["compiled"] = wrong
    row = measured(cpu, benchmarks)
    (name, reason), *others = row["left_out"].items()
    assert not others
    assert name == "torch.compile: compiled, as installed"
    assert name in reason
    assert row["sides"].keys() == {
        "scratchlv",
        "numpy: textbook NumPy, as installed",
        "torch: eager, as installed",
        "torch: other, as installed",
    }
    assert reason in capsys.readouterr().err


def test_where_all_sides_agree_none_is_left_out(cpu, benchmarks, sides):
    row = measured(cpu, benchmarks)
    assert row["left_out"] == {}
    assert len(row["sides"]) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"scratchlv": "at once"},
        {"scratchlv": "later"},
        {"textbook NumPy": 2.1},  # ours is then not what the reference computes
        {"eager": 2.1, "other": "later"},
    ],
)
def test_without_ours_numpy_or_pytorch_the_case_is_refused(cpu, benchmarks, sides, wrong):
    sides |= wrong
    with pytest.raises(cpu.Refused) as refused:
        measured(cpu, benchmarks)
    for name in wrong:
        assert name in str(refused.value)


def test_what_was_left_out_is_told_at_the_end(cpu, monkeypatch, capsys):
    row = {
        "case": "adam",
        "goal": {},
        "met": True,
        "left_out": {"torch: Adam, tuned": "torch: Adam, tuned: it was wrong"},
    }
    figures = ("ours_ms", "torch_ms", "torch_best_ms", "numpy_ms", "limit_ms", "ratio", "ratio_best", "share_of_limit")
    monkeypatch.setattr(cpu, "measure", lambda *_: row | dict.fromkeys(figures, 1.0))
    monkeypatch.setattr(cpu, "measure_ceilings", lambda: CEILINGS)
    monkeypatch.setattr(cpu, "avx512_library", lambda folder: None)
    monkeypatch.setattr(cpu, "version", lambda name: "2")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["cpu.py", "--only", "adam"])
    with pytest.raises(SystemExit) as ended:
        cpu.main()
    assert ended.value.code == 0
    assert "left out: adam: torch: Adam, tuned: it was wrong" in capsys.readouterr().out


# --- processes -------------------------------------------------------------------------------------------------------


def test_ceilings_come_from_a_process_of_its_own(cpu, monkeypatch):
    monkeypatch.setattr(ceilings, "measure", os.getpid)
    assert cpu.measure_ceilings() not in (None, os.getpid())
