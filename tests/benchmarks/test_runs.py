"""``benchmarks/runs.py``: both sides train the same, and what is made of their times. Nothing is timed here."""

import argparse
import dataclasses

import numpy as np
import pytest

SMALL = {"batch": 4, "n_train": 9, "embedding": 8, "hidden": 8, "attention": 8, "unroll": 5}


@pytest.fixture
def running(benchmarks):
    return benchmarks("running")


@pytest.fixture
def problems(benchmarks, tmp_path, monkeypatch):
    """Each run, small."""
    module = benchmarks("training_problems")
    for name, value in {
        "PTB_SENTENCES": 60,
        "PTB_VOCABULARY": 30,
        "MULTI30K_PAIRS": 90,
        "MULTI30K_VOCABULARY": 25,
    }.items():
        monkeypatch.setattr(module, name, value)
    for presets in (
        module.captioning.PRESETS,
        module.language_modelling.PRESETS,
        module.translation.PRESETS["translate"],
    ):
        for key, settings in list(presets.items()):
            fields = {field.name for field in dataclasses.fields(settings)}
            changed = {name: value for name, value in SMALL.items() if name in fields}
            monkeypatch.setitem(presets, key, dataclasses.replace(settings, **changed))
    options = argparse.Namespace(ptb=None, multi30k=None)
    return {name: make(tmp_path, options) for name, make in module.PROBLEMS.items()}


@pytest.mark.slow
def test_ours_trains_an_epoch_and_says_where_the_time_went(problems, running):
    problem = problems["lm"]
    found = running.train_ours(problem, problem.epoch)
    assert found["items"] == problem.epoch * problem.fitted.streams * problem.fitted.unroll
    assert found["parts"].keys() == {"batches", "model", "update"}
    assert 0 < sum(found["parts"].values()) < found["seconds"]
    assert np.isfinite(found["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["caption", "lm", "translate"])
def test_pytorch_trains_the_same(problems, running, benchmarks, name):
    pytest.importorskip("torch", reason="the baselines need PyTorch")
    theirs, runs = benchmarks("baselines.runs"), benchmarks("runs")
    problem = problems[name]
    if name == "caption":  # of equal maxima each side would take its own
        noise = np.random.default_rng(0).integers(0, 256, problem.data.pictures.shape).astype(np.uint8)
        problem = problem._replace(data=dataclasses.replace(problem.data, pictures=noise))
    most = runs.TOLERANCES.get(name, runs.TOLERANCE)
    runs.agree("theirs", running.first_batch(problem), theirs.first_batch(problem), most)
    ours, found = running.train_ours(problem, 2), theirs.train(problem, 2, workers=0)
    assert found["items"] == ours["items"]
    assert found["loss"] == pytest.approx(ours["loss"], rel=0.2)  # other masks of dropout
    assert found["parts"].keys() == ours["parts"].keys()


def test_the_generated_texts_have_the_words_that_were_asked_for(benchmarks):
    module = benchmarks("training_problems")
    lines = module.zipf(np.random.default_rng(0), 2000, 20, 500)
    words = [line.split() for line in lines]
    assert len(lines) == 2000
    assert np.mean([len(each) for each in words]) == pytest.approx(20, abs=0.5)
    assert len({word for each in words for word in each}) == 500
    assert sum(each.count("w0") for each in words) > 10 * sum(each.count("w50") for each in words)


# --- figures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(benchmarks):
    return benchmarks("runs")


def turn(seconds, batches=0.0, update=1.0):
    model = seconds - batches - update
    parts = {"batches": batches, "model": model, "update": update}
    return {"steps": 10, "seconds": seconds, "items": 100, "parts": parts, "loss": 2.0}


@pytest.fixture
def row_of(runs, running):
    problem = running.Problem("lm", "a language model", "words", None, None, None, epoch=40)

    def made(**sides):
        return runs.row(problem, 10, sides, dict.fromkeys(sides, {}), {})

    return made


def test_speeds_epochs_and_what_is_outside(runs, row_of):
    row = row_of(
        scratchlv=[turn(10, batches=0.2), turn(8, batches=0.16), turn(9, batches=0.18)],
        a=[turn(20, 4)],
        b=[turn(18, 9)],
    )
    ours = row["sides"]["scratchlv"]
    assert (ours["items_per_second"], ours["epoch_seconds"], ours["outside"]) == (pytest.approx(11.11), 36, 0.02)
    assert (row["best"], row["ratio"], row["met"]) == ("b", 2.0, True)
    assert row["sides"]["b"]["outside"] == 0.5
    assert "ours is 2.00 times as fast" in runs.table([row])
    assert not row_of(scratchlv=[turn(10, batches=0.31)], a=[turn(10)])["met"]


def test_other_gradients_are_refused(runs):
    ours = {"loss": np.float32(2), "W": np.float32([1, 2])}
    runs.agree("theirs", ours, {"loss": np.float32(2), "W": np.float32([1, 2.0001])})
    for wrong in (2.1, np.nan):
        with pytest.raises(runs.Refused, match="theirs: W"):
            runs.agree("theirs", ours, {"loss": np.float32(2), "W": np.float32([1, wrong])})


def test_a_part_of_an_epoch_takes_the_seconds_that_were_asked_for(runs, running):
    problem = running.Problem("lm", "", "words", None, None, None, epoch=400)

    class Ours:
        def run(self, steps):
            return {"steps": steps, "seconds": 0.1 * steps}

    assert runs.how_many(problem, Ours(), 5.0) == 50
    assert runs.how_many(problem, Ours(), 500.0) == 400
    assert runs.how_many(problem, Ours(), None) == 400


def test_a_file_that_is_missing_is_told_in_a_sentence(runs, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["runs.py", "--only", "lm", "--ptb", str(tmp_path / "none")])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        runs.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "none" in said[1]
