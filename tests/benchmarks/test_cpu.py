"""``benchmarks/cpu.py``: what it refuses to time, and what it writes. Nothing is timed here."""

import json

import pytest


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


def test_the_limit_is_the_longer_of_arithmetic_and_traffic_in_every_phase(cpu, benchmarks):
    ceilings = {"gflops": 100.0, "dram_gbs": 10.0, "cache_gbs": 50.0}
    Phase = benchmarks("case").Phase
    phases = (Phase(2e9, 1e6), Phase(1e6, 5e7), Phase(bytes=5e7, cached=True))
    case = cpu.Case("w", "", None, phases)
    assert cpu.limit_ms(case, ceilings) == pytest.approx(20 + 5 + 1)


def test_rows_of_other_cases_stay_in_the_file(cpu, tmp_path):
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps([{"case": "adam", "ours_ms": 1}, {"case": "lstm-lm", "ours_ms": 2}]))
    cpu.Rows(file).add({"case": "lstm-lm", "ours_ms": 3})
    assert json.loads(file.read_text()) == [{"case": "lstm-lm", "ours_ms": 3}, {"case": "adam", "ours_ms": 1}]
    assert list(tmp_path.iterdir()) == [file]


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
    case = cpu.Case("w", "", None, (), benchmarks("case").Goal(ratio=2.0, ratio_best=1.3))
    row = cpu.row(case, {}, times, {}, {})
    assert (row["ours_ms"], row["torch_ms"], row["torch_best_ms"], row["numpy_ms"]) == (10, 25, 12, 50)
    assert (row["ratio"], row["ratio_best"]) == (2.5, 1.2)
    assert not row["met"]
    assert "MISSED" in cpu.table([row])
    assert cpu.row(case, {}, {**times, way(cpu.TORCH, "eager", cpu.TUNED): [13.0]}, {}, {})["met"]
