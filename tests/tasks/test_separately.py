"""bAbI's tasks, each with a run of its own, and one network for all of them."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from scratchlv.cli import main
from scratchlv.errors import UserError
from scratchlv.parallel.team import SharedError
from scratchlv.tasks import separately, story_answering, training
from scratchlv.training import checkpoint
from tests.parallel.threads import run_together

from .test_story_answering import babi, story

SMALL = ["steps=3", "batch=4", "width=8", "restarts=2", "linear_steps=2"]


@pytest.fixture
def data(tmp_path):
    folder = babi(tmp_path / "data")
    name = "single-supporting-fact_train.txt"
    for task in (2, 4):
        shutil.copy(folder / f"qa1_{name}", folder / f"qa{task}_{name}")
    return folder


def config(folder, preset="quick", *more):
    return story_answering.config("babi", f"babi:{folder}:all", "memory", preset, 0, [*SMALL, *more])


def test_each_task_has_a_run_and_a_row(data, tmp_path, capsys):
    said = []
    training.train(tmp_path / "run", config(data), show_progress=False, say=said.append)
    assert said[0] == f"{data} does not have bAbI's tasks 3, 5 to 20; the others are trained"
    assert sorted(line.split(":")[0] for line in said[1:]) == ["task 1", "task 2", "task 4"]
    figures = story_answering.evaluate(training.load(tmp_path / "run", "babi"))
    assert list(figures["tasks"]) == ["task 1", "task 2", "task 4"]
    assert figures["tasks"]["task 2"]["paper"] == 8.3
    assert figures["paper_mean_error"] == pytest.approx((0.0 + 8.3 + 2.8) / 3)
    errors = [row["error"] for row in figures["tasks"].values()]
    assert figures["mean_error"] == pytest.approx(sum(errors) / 3)
    alone = story_answering.evaluate(training.load(tmp_path / "run" / "task-2", "babi"))
    assert figures["tasks"]["task 2"]["error"] == pytest.approx(100 * (1 - alone["accuracy"]))
    with pytest.raises(UserError, match=r"has a network for each task; ask one of .*task-1, .*task-2, .*task-4"):
        about = story(tmp_path, "Mary went to the hall.")
        story_answering.answer(training.load(tmp_path / "run", "babi"), about, "where is Mary")
    # what is done is not done again
    assert main(["train", "babi", "--resume", "--out", str(tmp_path / "run")]) == 0
    assert "task 4: trained" in capsys.readouterr().out


def test_processes_that_work_together_have_some_of_the_tasks_each(data, tmp_path, capfd):
    def train(where):
        said = []
        training.train(tmp_path / where, config(data), show_progress=False, say=said.append)
        return said

    train("alone")
    said = run_together(2, lambda _: train("together"))
    assert [line.split(",")[0] for line in said[0][1:]] == [f"task {name}: trained" for name in (1, 2, 4)]
    for task in ("task-1", "task-2", "task-4"):
        (alone, _), (together, _) = (checkpoint.load(tmp_path / which / task) for which in ("alone", "together"))
        for name, array in alone.items():
            assert array.tobytes() == together[name].tobytes(), name
    shutil.rmtree(tmp_path / "together" / "task-4")
    (data / "qa4_single-supporting-fact_train.txt").write_text("1 Mary went to the hall.\n")
    with pytest.raises(SharedError, match="not trained: 4 of babi"):
        run_together(2, lambda _: training.train(tmp_path / "together", show_progress=False))
    assert "task-4: " in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_ctrl_c_reaches_every_task_and_each_has_its_checkpoint(data, tmp_path):
    settings = ["steps=100000", "batch=4", "width=8", "restarts=2", "linear_steps=20"]
    command = [
        sys.executable,
        "-m",
        "scratchlv",
        "train",
        "babi",
        "--data",
        f"babi:{data}:all",
        "--out",
        str(tmp_path / "run"),
    ]
    command += [text for setting in settings for text in ("--set", setting)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    begun = tmp_path / "run" / "task-1" / "starts" / "log.jsonl"
    until = time.monotonic() + 120
    while not begun.exists() and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)  # to the parent alone, which passes it on
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted; go on with: " in said
    assert "Traceback" not in said
    assert checkpoint.latest_steps(begun.parent)


def test_one_network_for_all_tasks(data, tmp_path):
    said = []
    training.train(tmp_path / "run", config(data, "joint"), show_progress=False, say=said.append)
    assert said[0].endswith("tasks 3, 5 to 20; the others are trained")
    run = training.load(tmp_path / "run", "babi")
    assert run.model is not None
    assert list(story_answering.evaluate(run, n=1)["tasks"]) == ["task 1", "task 2", "task 4"]
    assert story_answering.evaluate(run, n=1)["n"] == 3


def test_a_task_that_cannot_be_trained_is_named_and_the_others_are(data, tmp_path, capfd):
    (data / "qa2_single-supporting-fact_train.txt").write_text("1 Mary went to the hall.\n")
    with pytest.raises(UserError, match=r"qa2_single-supporting-fact_train\.txt has 0 stories"):
        separately.train(tmp_path / "run", config(data), None, print)


def test_what_does_not_go_with_many_tasks(data, tmp_path):
    with pytest.raises(UserError, match="--overfit-one-batch is of one model, and babi:.*:all has one for each task"):
        training.train(tmp_path / "run", config(data), overfit_one_batch=True)
    with pytest.raises(UserError, match="--preset joint trains one network on all tasks"):
        story_answering.config("babi", f"babi:{data}:1", "memory", "joint", 0, [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no training file of bAbI task all; the tasks there are: none"):
        story_answering.prepare(config(tmp_path / "empty", "joint"), None, False, print, tmp_path)
