"""``tune``: what it keeps, and that it keeps no noise."""

import io
import json
import sys
import types

import numpy as np
import pytest

from scratchlv.bench import tune
from scratchlv.bench.tune import Verdict, decide
from scratchlv.cli import main
from scratchlv.errors import UserError
from scratchlv.kernels.building_blocks import parameters
from scratchlv.kernels.building_blocks.parameters import PARAMETERS, VARIABLE, choices, tuned, tuned_file

NAME = "memory.larger_than_caches"
DERIVED = tune._derived(NAME)


# --- the decision ------------------------------------------------------------------------------------------------------


def times(rng, ratio, rounds=20, noise=0.05):
    """Of a machine whose rounds differ, and of two cases; the candidate 7 takes ``ratio`` of the time of 5, and 9 the same."""
    good_and_bad_minutes = rng.uniform(1, 2, (rounds, 1))
    return {
        number: (good_and_bad_minutes * [1e-3, 2e-5] * np.exp(rng.normal(0, noise, (rounds, 2))) * speed).tolist()
        for number, speed in ((5, 1.0), (7, ratio), (9, 1.0))
    }


def test_what_is_faster_is_found_however_the_machine_sways():
    for seed in range(20):
        verdict = decide(times(np.random.default_rng(seed), 0.8), 5)
        assert verdict.kept and verdict.value == 7
        assert verdict.gain == pytest.approx(0.2, abs=0.05)


def test_noise_is_kept_in_few_of_many_trials():
    kept = [decide(times(np.random.default_rng(seed), 1.0), 5).kept for seed in range(100)]
    assert sum(kept) <= 2  # without the second half of the rounds, of which one in three would be


def test_a_gain_in_one_case_that_another_loses_is_none():
    lost = {5: [[1.0, 1.0]] * 12, 7: [[0.7, 1.5]] * 12}
    assert not decide(lost, 5).kept


@pytest.mark.parametrize(
    ("verdict", "kept"),
    [
        (Verdict(7, 0.1, 10, 10), True),
        (Verdict(7, 0.1, 9, 10), True),
        (Verdict(7, 0.1, 8, 10), False),  # not in most rounds
        (Verdict(7, 0.01, 10, 10), False),  # too little
        (Verdict(7, 0.5, 2, 2), False),  # too few rounds
        (Verdict(7, 0.0, 0, 0), False),
    ],
)
def test_what_is_kept(verdict, kept):
    assert verdict.kept is kept


# --- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    choices.cache_clear()
    yield tmp_path
    choices.cache_clear()


@pytest.fixture
def measured(monkeypatch):
    """Nothing is measured: 7 takes ``measured[0]`` of the time of what is derived."""
    ratio = [0.8]
    monkeypatch.setattr(tune, "measure", lambda *_: {DERIVED: [[1.0]] * 12, 1 << 25: [[ratio[0]]] * 12})
    return ratio


def test_what_is_faster_is_kept_and_used_and_can_be_forgotten(measured, capsys):
    assert main(["tune", "--only", NAME]) == 0
    said = capsys.readouterr().out
    assert f"{1 << 25}, not {DERIVED}: {1 << 25} saves 20.0% of the time, in 6 of 6 rounds" in said
    assert str(tuned_file()) in said
    assert choices()[NAME] == (1 << 25, "tuned")
    measured[0] = 1.0
    assert main(["tune", "--only", NAME, "--dry-run"]) == 0
    assert "nothing of it is kept" in capsys.readouterr().out
    assert tuned() == ({NAME: 1 << 25}, None)
    assert main(["tune", "--forget"]) == 0
    assert not tuned_file().exists()
    assert main(["tune", "--forget", "--only", NAME]) == 0  # there is nothing to forget


def test_what_is_no_longer_faster_is_derived_again_and_the_others_stay(measured, monkeypatch):
    parameters_with_two = dict(PARAMETERS, **{"adam.block": PARAMETERS["adam.block"]._replace(tried=(16, 32))})
    for module in (tune, parameters):
        monkeypatch.setattr(module, "PARAMETERS", parameters_with_two)
    tune._keep({NAME: 1 << 25, "adam.block": 32})
    measured[0] = 1.1
    tune.run([NAME])
    assert tuned() == ({"adam.block": 32}, None)


def test_a_damaged_file_is_replaced(measured):
    tuned_file().parent.mkdir()
    tuned_file().write_text("{")
    tune.run([NAME])
    assert tuned() == ({NAME: 1 << 25}, None)


def test_ctrl_c_leaves_all_as_it_was(measured, monkeypatch, capsys):
    tune._keep({NAME: 1 << 22})

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "measure", interrupted)
    assert main(["tune"]) == 130
    assert "interrupted: what was tuned before stays" in capsys.readouterr().out
    assert tuned() == ({NAME: 1 << 22}, None)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["--only", "adam.blocks"],
            "--only adam.blocks: there is no such parameter; threads.worth_waking, memory",
        ),
        (["--only", "conv2d.band"], "--only conv2d.band: it is derived, with nothing to try"),
        (["--seconds", "0"], "--seconds 0: give more than 0"),
        (["--seconds", "nan"], "--seconds nan: give more than 0"),
        (["--forget", "--dry-run"], "--forget measures nothing"),
        (["--forget", "--seconds", "3"], "--forget measures nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, reason, capsys):
    assert main(["tune", *arguments]) == 2
    assert f"scratchlv: {reason}" in capsys.readouterr().err


def test_with_parameters_that_are_given_nothing_is_tuned(monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "adam.block=16")
    assert main(["tune"]) == 2
    assert "SCRATCHLV_PARAMETERS is set, and goes before what is tuned; unset it to tune" in capsys.readouterr().err


def test_where_nothing_can_be_kept_nothing_is_measured(cache, capsys):
    (cache / "tuned").write_text("a file is in the way")
    assert main(["tune"]) == 2
    assert "tuned cannot be written; choose another folder with SCRATCHLV_CACHE" in capsys.readouterr().err


# --- processes ---------------------------------------------------------------------------------------------------------


def test_a_process_answers_each_line_with_the_times_of_its_cases(monkeypatch):
    called = []
    monkeypatch.setattr(tune, "workload", lambda name: {"a": lambda: called.append(name), "b": lambda: None})
    monkeypatch.setattr(tune, "_TURN", 1e-4)
    monkeypatch.setattr(sys, "argv", ["-c", NAME])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n"))
    monkeypatch.setattr(sys, "stdout", answers := io.StringIO())
    tune.serve()
    assert set(called) == {NAME}
    lines = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [len(line) for line in lines] == [2, 2]
    assert all(seconds > 0 for line in lines for seconds in line)


def test_a_process_that_ends_by_itself_is_told_of(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(UserError, match="ended by itself, with status 0"):
        tune.measure(NAME, 0.1, lambda said: None)


def test_each_parameter_that_can_be_tuned_has_something_to_time():
    for name, parameter in PARAMETERS.items():
        if parameter.tried:
            assert name in tune.OF_ITS_OWN or name.partition(".")[0] in tune.ROOMS


def test_sweeps_find_the_threads_asleep(monkeypatch):
    slept = []
    monkeypatch.setattr(tune, "relu", types.SimpleNamespace(forward=lambda x: slept.append(clock["now"])))
    clock = {"now": 0.0}

    def tick():
        clock["now"] += tune._PAUSE / 10
        return clock["now"]

    monkeypatch.setattr(tune.time, "perf_counter", tick)
    calls = tune.workload("threads.worth_waking")
    before = clock["now"]
    calls["relu 32768"]()
    assert slept[0] - before > tune._PAUSE
    numbers = sorted(int(name.split()[1]) for name in calls)
    for tried in PARAMETERS["threads.worth_waking"].tried[1:]:
        assert numbers[0] < tried <= numbers[-1], f"nothing that is timed depends on {tried}"


@pytest.mark.slow
def test_processes_measure_what_they_are_compiled_with(monkeypatch):
    monkeypatch.setattr(tune, "_TURN", 1e-3)
    found = tune.measure(NAME, 0.1, lambda said: None)
    assert set(found) == {DERIVED, *PARAMETERS[NAME].tried}
    shapes = {np.shape(each) for each in found.values()}
    (shape,) = shapes
    assert shape[0] >= 6 and shape[1] == 6
