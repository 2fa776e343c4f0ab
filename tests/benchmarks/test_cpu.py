"""``benchmarks/cpu.py``: what it refuses to time, and what it writes. Nothing is timed here."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("cpu")


def a_way(cpu):
    return cpu.Way(cpu.Side("peer", cpu.TORCH, build=None), cpu.INSTALLED)


def test_works_of_the_table(cpu):
    works = cpu.all_works()
    for name in ("lstm-lm", "lstm-lm-200", "rnn-lm", "stacked-attention", "small-conv", "demo-step", "adam"):
        assert works[name].name == name
    for work in works.values():
        kinds = [side.kind for side in work.sides]
        assert kinds.count(cpu.OURS) == kinds.count(cpu.NUMPY) == 1
        assert cpu.TORCH in kinds
        assert len({side.name for side in work.sides}) == len(kinds)  # the worker finds its side by its name


def test_a_name_is_that_work_or_the_beginning_of_several(cpu):
    assert [work.name for work in cpu.choose(["lstm-lm"])] == ["lstm-lm"]
    assert [work.name for work in cpu.choose(["vgg16"])] == ["vgg16-n1", "vgg16-n8"]
    assert len(cpu.choose([])) == len(cpu.all_works())


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


@pytest.mark.parametrize("wrong", [1e-3, np.nan, np.inf])
def test_other_results_are_refused(cpu, wrong):
    work = cpu.all_works()["lstm-lm"]
    ours = {"loss": np.array(2.0), "W": np.array([1.0, -3.0])}
    assert cpu.difference(work, a_way(cpu), ours, {"loss": np.array(2.0), "W": np.array([1.0, -3.00003])}) < 1e-4
    for name in ours:
        theirs = {key: value.copy() for key, value in ours.items()}
        theirs[name][..., None][0] += 3 * wrong
        with pytest.raises(cpu.Refused, match=name):
            cpu.difference(work, a_way(cpu), ours, theirs)


def test_missing_results_and_other_shapes_are_refused(cpu):
    work, ours = cpu.all_works()["lstm-lm"], {"W": np.ones((2, 3))}
    with pytest.raises(cpu.Refused, match="b"):
        cpu.difference(work, a_way(cpu), ours, {**ours, "b": np.ones(3)})
    with pytest.raises(cpu.Refused, match="shape"):
        cpu.difference(work, a_way(cpu), ours, {"W": np.ones((3, 2))})


def test_the_limit_is_the_longer_of_arithmetic_and_traffic_in_every_phase(cpu):
    ceilings = {"gflops": 100.0, "dram_gbs": 10.0, "cache_gbs": 50.0}
    Phase = importlib.import_module("works").Phase
    phases = (Phase(2e9, 1e6), Phase(1e6, 5e7), Phase(bytes=5e7, cached=True))
    work = cpu.Work("w", "", (), phases)
    assert cpu.limit_ms(work, ceilings) == pytest.approx(20 + 5 + 1)


def test_rows_of_other_works_stay_in_the_file(cpu, tmp_path):
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps([{"work": "adam", "ours_ms": 1}, {"work": "lstm-lm", "ours_ms": 2}]))
    cpu.Rows(file).add({"work": "lstm-lm", "ours_ms": 3})
    assert json.loads(file.read_text()) == [{"work": "lstm-lm", "ours_ms": 3}, {"work": "adam", "ours_ms": 1}]
    assert list(tmp_path.iterdir()) == [file]


def test_ratios_goals_and_the_fastest_of_each_kind(cpu):
    def way(kind, name, environment):
        return cpu.Way(cpu.Side(name, kind, build=None), environment)

    times = {
        way(cpu.OURS, "scratchlv", cpu.INSTALLED): [10.0, 9.0, 11.0],
        way(cpu.NUMPY, "textbook", cpu.INSTALLED): [50.0],
        way(cpu.TORCH, "eager", cpu.INSTALLED): [30.0],
        way(cpu.TORCH, "other", cpu.INSTALLED): [25.0],
        way(cpu.TORCH, "eager", cpu.TUNED): [12.0],
    }
    work = cpu.Work("w", "", (), (), importlib.import_module("works").Goal(ratio=2.0, ratio_best=1.3))
    row = cpu.row(work, {}, times, {}, {})
    assert (row["ours_ms"], row["torch_ms"], row["torch_best_ms"], row["numpy_ms"]) == (10, 25, 12, 50)
    assert (row["ratio"], row["ratio_best"]) == (2.5, 1.2)
    assert not row["met"]
    assert "MISSED" in cpu.table([row])
    assert cpu.row(work, {}, {**times, way(cpu.TORCH, "eager", cpu.TUNED): [13.0]}, {}, {})["met"]
