"""``benchmarks/cpu.py``: what it refuses to time, and what it writes. Nothing is timed here."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from scratchlv.bench import ceilings
from scratchlv.bench.ceilings import Ceilings

CEILINGS = Ceilings(100e9, {"copy": 8e9, "update": 10e9}, {1 << 20: {"copy": 40e9, "update": 50e9}})


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
    monkeypatch.setattr(ceilings, "peak", lambda: 1e9)
    monkeypatch.setattr(
        ceilings, "bandwidths", lambda *_, seconds: dict.fromkeys(("read", "copy", "triad", "update"), 1e9)
    )
    limits = ceilings.measure(most=1 << 20)
    assert all(0 < cpu.limit_ms(case, limits) < np.inf for case in cpu.all_cases().values())


@pytest.fixture
def not_judged(cpu, monkeypatch):
    monkeypatch.setattr(cpu, "judge", lambda *_: None)


def test_rows_of_other_cases_stay_in_the_file(cpu, not_judged, tmp_path):
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps([{"case": "adam", "ours_ms": 1}, {"case": "lstm-lm", "ours_ms": 2}]))
    cpu.Rows(file).add({"case": "lstm-lm", "ours_ms": 3}, None, CEILINGS, 1e9)
    assert json.loads(file.read_text("utf-8")) == [{"case": "lstm-lm", "ours_ms": 3}, {"case": "adam", "ours_ms": 1}]
    assert list(tmp_path.iterdir()) == [file]


def test_rows_that_say_work_are_rows_of_cases(cpu, not_judged, tmp_path):
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps([{"work": "adam", "ours_ms": 1}]))
    cpu.Rows(file).add({"case": "lstm-lm", "ours_ms": 3}, None, CEILINGS, 1e9)
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

    def row_of(times):
        row = cpu.row(case, cpu.Run(None), times, {}, {}, {})
        cpu.judge(row, case, CEILINGS)
        return row

    row = row_of(times)
    assert (row["ours_ms"], row["torch_ms"], row["torch_best_ms"], row["numpy_ms"]) == (10, 25, 12, 50)
    assert (row["ratio"], row["ratio_best"]) == (2.5, 1.2)
    assert not row["met"]
    assert "MISSED" in cpu.table([row])
    assert row_of({**times, way(cpu.TORCH, "eager", cpu.TUNED): [13.0]})["met"]
    without = row_of({each: values for each, values in times.items() if cpu.kind_of(each) in (cpu.OURS, cpu.TUNED)})
    assert (without["torch_ms"], without["numpy_ms"], without["torch_best_ms"]) == (None, None, 12)
    assert not without["met"]
    assert "12.00" in cpu.table([without])


# --- ceilings and threads --------------------------------------------------------------------------------------------


def judged(cpu, benchmarks, rows, name="lstm-lm", ours=10.0, peak=100e9, **settings):
    case = cpu.Case(name, "", None, (benchmarks("case").Phase(flops=1e9),), **settings)
    row = cpu.row(case, cpu.Run(None), {cpu.Way(case.sides[0], cpu.INSTALLED): [ours, ours]}, {}, {}, {})
    rows.add(row, case, CEILINGS, peak)
    return row


def test_what_takes_less_than_the_limit_is_said_loudly(cpu, benchmarks):
    rows = cpu.Rows(None)
    honest = judged(cpu, benchmarks, rows, ours=10.1)
    assert honest["exceeds"] == []
    assert cpu.remarks([honest]) == []
    faster = judged(cpu, benchmarks, rows, ours=9.9)
    assert faster["exceeds"] == ["scratchlv"]
    assert "EXCEEDS THE CEILING" in cpu.remarks([faster])[0]
    assert judged(cpu, benchmarks, rows, ours=9.9, winograd=True)["exceeds"] == []


def test_every_row_is_judged_by_the_best_peak_of_the_run(cpu, benchmarks):
    """The clock moves: what was measured early may have been measured at a slow one."""
    rows = cpu.Rows(None)
    first = judged(cpu, benchmarks, rows, ours=9.9)
    assert first["exceeds"]
    judged(cpu, benchmarks, rows, peak=200e9)
    assert first["exceeds"] == []
    assert (first["limit_ms"], first["share_of_limit"]) == (5.0, 0.5051)
    assert first["ceilings"]["peak_gflops"] == 200


def test_efficiency_is_the_fewest_threads_time_over_the_most_s(cpu):
    side = cpu.Side("scratchlv", cpu.OURS, build=None)
    case, run = cpu.Case("a", "", None, ()), cpu.Run(None, threads=[4, 1, 2])
    assert [way.name for way in cpu.ways_of(case, run) if way.side.kind == cpu.OURS] == [
        "scratchlv",
        "scratchlv, 1 thread",
        "scratchlv, 2 threads",
    ]
    times = {None: [3.0], 1: [9.0], 2: [5.0]}
    row = cpu.row(case, run, {cpu.Way(side, cpu.INSTALLED, n): each for n, each in times.items()}, {}, {}, {})
    assert (row["ours_ms"], row["efficiency"], row["threads"]) == (3.0, 0.75, 4)


def test_threads_and_vectors_are_told_by_the_environment(cpu, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("GOMP_SPINCOUNT", "2000")
    case, run = cpu.all_cases()["adam"], cpu.Run(None, Path("mkl.so"), "avx2", [1, 2])
    found = {way.name: cpu.environment(way, run) for way in cpu.ways_of(case, run)}
    for name, variables in found.items():
        assert variables["NUMBA_NUM_THREADS"] == ("1" if name == "scratchlv, 1 thread" else "2")
        assert variables["OPENBLAS_CORETYPE"] == "Haswell"
        assert "GOMP_SPINCOUNT" not in variables  # ours sets it for itself
        assert variables["SCRATCHLV_VECTORS"] == "8"
        assert variables["MKL_ENABLE_INSTRUCTIONS"] == "AVX2"
        assert ("LD_PRELOAD" in variables) == name.endswith("tuned")
    assert found.keys() > {"scratchlv", "scratchlv, 1 thread", "torch: fused Adam, tuned"}


def test_figures_of_another_instruction_set_are_not_mixed(cpu, tmp_path, capsys):
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps([{"case": "adam", "ours_ms": 1}]))
    with pytest.raises(SystemExit) as ended:
        cpu.Rows(file, "avx2")
    assert ended.value.code == 2
    assert "instruction set" in capsys.readouterr().err


# --- a side that is wrong --------------------------------------------------------------------------------------------


@pytest.fixture
def sides(cpu, monkeypatch):
    """Worker processes that are none: by the name of a side, its loss, or how it fails ("at once" or "later")."""
    losses = {"scratchlv": 2.0, "textbook NumPy": 2.0, "eager": 2.0, "other": 2.0, "compiled": 2.0}
    for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
        monkeypatch.delenv(name)

    class Worker:
        def __init__(self, case, way, run):
            self.way, self.killed = way, False
            self.loss = losses[way.name if way.threads else way.side.name]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.kill()

        def start(self):
            if self.loss == "at once":
                raise cpu.Refused(f"{self.way.name} failed: at once")
            return {"loss": np.array(2.0 if self.loss == "later" else self.loss)}

        def run(self, seconds):
            assert not self.killed
            if self.loss == "later":
                raise cpu.Refused(f"{self.way.name} failed: later")
            return [1.0, 2.0, 3.0]

        def kill(self):
            self.killed = True

    monkeypatch.setattr(cpu, "Worker", Worker)
    return losses


def measured(cpu, benchmarks, threads=None):
    kinds = {"eager": cpu.TORCH, "other": cpu.TORCH, "compiled": benchmarks("case").COMPILED}
    baselines = tuple(cpu.Side(name, kind, build=None) for name, kind in kinds.items())
    return cpu.measure(cpu.Case("a", "", None, (), baselines=baselines), cpu.Run(None, threads=threads))


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


@pytest.mark.parametrize("wrong", [{"textbook NumPy": 2.1}, {"eager": 2.1, "other": "later"}])
def test_no_wrong_side_keeps_the_others_from_being_timed(cpu, benchmarks, sides, wrong):
    sides |= wrong
    row = measured(cpu, benchmarks)
    assert len(row["left_out"]) == len(wrong)
    assert len(row["sides"]) == 5 - len(wrong)
    assert row["torch_best_ms"] == 2.0
    assert (row["torch_ms"] is None) == ("eager" in wrong)


def test_ours_with_other_bits_on_other_threads_is_left_out(cpu, benchmarks, sides):
    sides["scratchlv, 1 thread"] = 2.0
    assert measured(cpu, benchmarks, threads=[1, 2])["efficiency"] == 0.5  # the same time with half of the threads
    sides["scratchlv, 1 thread"] = 2.0 + 1e-9
    row = measured(cpu, benchmarks, threads=[1, 2])
    assert "bits depend on the number of threads" in row["left_out"]["scratchlv, 1 thread"]
    assert row["efficiency"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"scratchlv": "at once"},
        {"scratchlv": "later"},
        {"textbook NumPy": 2.1, "eager": 2.1, "other": "later", "compiled": "at once"},
    ],
)
def test_without_ours_or_anybody_who_agrees_the_case_is_refused(cpu, benchmarks, sides, wrong):
    sides |= wrong
    with pytest.raises(cpu.Refused) as refused:
        measured(cpu, benchmarks)
    for name in wrong:
        assert name in str(refused.value)


def test_what_was_left_out_is_told_at_the_end(cpu, monkeypatch, capsys):
    row = {"case": "adam", "goal": {}, "met": True, "exceeds": [], "efficiency": 0.9, "share_of_limit": 1.0}
    row |= {"left_out": {"torch: Adam, tuned": "torch: Adam, tuned: it was wrong"}}

    def measure_all(cases, rows, refused, options):
        rows.new.append(row | dict.fromkeys(cpu.FIGURES, 1.0))
        refused += ["lstm-lm: ours failed"][len(cases) - 1 :]

    monkeypatch.setattr(cpu, "measure_all", measure_all)
    monkeypatch.setattr(cpu, "version", lambda name: "2")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for names, status in ((["adam"], 1), (["adam", "lstm-lm"], 0)):
        monkeypatch.setattr("sys.argv", ["cpu.py", "--only", *names])
        with pytest.raises(SystemExit) as ended:
            cpu.main()
        assert ended.value.code == status
        said = capsys.readouterr().out
        assert "left out: adam: torch: Adam, tuned: it was wrong" in said
        assert ("not timed: lstm-lm" in said) == bool(status)
