"""``--data-parallel``, as a user types it: one voice, one run, and a sentence whatever goes wrong."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scratchlv.cli import data_parallel, main
from scratchlv.cores import Cores
from scratchlv.errors import UserError
from scratchlv.parallel import mpi
from scratchlv.training import checkpoint
from scratchlv.training.log import read_log
from tests.parallel.mpi import needs_mpi, run, start
from tests.tasks.test_story_answering import babi

_SMALL = ["n_train=60", "n_val=20", "embedding=8", "hidden=12", "batch=7", "unroll=8", "dropout=0.2", "warmup=2"]


def words(*settings, task="lm", small=_SMALL):
    return [
        "-m",
        "scratchlv",
        "train",
        task,
        *(w for s in (*small, *settings) for w in ("--set", s)),
        "--data-parallel",
    ]


def parameters(folder):
    tensors, state = checkpoint.load(folder)
    return state["step"], {name: array for name, array in tensors.items() if name.startswith("params/")}


@needs_mpi
@pytest.mark.parametrize("P", [2, 3])
def test_processes_train_one_run_with_one_voice(tmp_path, P, capsys):
    more = ["steps=20", "validate_every=10"]
    status, out, err = run(P, *words(*more), "--out", tmp_path / "run")
    assert status == 0, err
    assert out.count("trained:") == out.count("initial loss") == 1
    alone = [w for w in words(*more)[2:] if w != "--data-parallel"]
    assert main([*alone, "--out", str(tmp_path / "alone")]) == 0
    (step, found), (_, expected) = parameters(tmp_path / "run"), parameters(tmp_path / "alone")
    assert step == 20
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=2e-3, err_msg=name)
    logs = [read_log(tmp_path / which / "log.jsonl") for which in ("run", "alone")]
    losses = [[entry["validation"]["loss"] for entry in log if "validation" in entry] for log in logs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert logs[0][-1]["communication"]["processes"] == P
    if P > 2:
        return
    capsys.readouterr()
    status, out, err = run(P, "-m", "scratchlv", "evaluate", tmp_path / "run", "--json", "--data-parallel")
    assert status == 0, err
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    shared, own = (json.loads(text.splitlines()[-1])["metrics"] for text in (out, capsys.readouterr().out))
    for name, value in own.items():
        assert shared[name] == pytest.approx(value, rel=1e-5), name


@needs_mpi
def test_a_killed_process_ends_all_and_the_run_goes_on_with_another_number(tmp_path):
    process = start(2, *words("steps=100000"), "--out", tmp_path / "run")
    began = time.monotonic()
    while time.monotonic() - began < 90 and len(read_log(tmp_path / "run" / "log.jsonl")) < 3:
        time.sleep(0.05)
    children = _children(process.pid, "scratchlv")
    assert len(children) == 2
    os.kill(children[-1], signal.SIGKILL)
    killed = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - killed < 10
    sentences = [line for line in err.splitlines() if line.startswith("scratchlv:")]
    assert len(sentences) == 1, err
    assert "was killed, and the run ends; the last checkpoint in" in sentences[0]
    assert (
        f"go on with: mpiexec -n 2 scratchlv train lm --out {tmp_path / 'run'} --resume --data-parallel" in sentences[0]
    )
    step = max(checkpoint.latest_steps(tmp_path / "run"), default=0)
    again = ["-m", "scratchlv", "train", "lm", "--out", tmp_path / "run", "--resume", "--data-parallel"]
    status, out, err = run(3, *again, "--set", f"steps={step + 12}")
    assert status == 0, err
    assert f"at step {step} of {step + 12}" in out
    assert parameters(tmp_path / "run")[0] == step + 12


@needs_mpi
def test_ctrl_c_reaches_all_and_is_resumed(tmp_path):
    process = start(2, *words("steps=100000"), "--out", tmp_path / "run")
    began = time.monotonic()
    while time.monotonic() - began < 90 and len(read_log(tmp_path / "run" / "log.jsonl")) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert err.count("interrupted; go on with: mpiexec -n 2 scratchlv train lm") == 1
    assert "was killed" not in err
    assert checkpoint.latest_steps(tmp_path / "run")


@needs_mpi
@pytest.mark.parametrize("of", ["all", pytest.param("1", marks=pytest.mark.slow)])
def test_restarts_and_tasks_by_themselves(tmp_path, of):
    data = babi(tmp_path / "data")
    shutil.copy(data / "qa1_single-supporting-fact_train.txt", data / "qa3_single-supporting-fact_train.txt")
    small = ["steps=3", "batch=4", "width=8", "restarts=2", "linear_steps=2"]
    status, out, err = run(
        2, *words(task="babi", small=small), "--data", f"babi:{data}:{of}", "--out", tmp_path / "run"
    )
    assert status == 0, err
    lines = ["training losses of 2:"] if of == "1" else ["task 1: trained", "task 3: trained"]
    assert [out.count(line) for line in lines] == [1] * len(lines)
    status, out, err = run(2, "-m", "scratchlv", "evaluate", tmp_path / "run", "--json", "--data-parallel")
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["metrics"]["n"] > 0


def _children(pid, word):
    """The processes below ``pid`` whose command has the word, in the order of their numbers, and no watcher."""
    found, parents = [], {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                status = Path(f"/proc/{entry}/stat").read_text()
                line = Path(f"/proc/{entry}/cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            parents[int(entry)] = int(status.rpartition(")")[2].split()[1])
            if word in line and "lifeline" not in line and "mpiexec" not in line and "hydra" not in line:
                found.append(int(entry))

    def is_below(number):
        while number > 1 and number != pid:
            number = parents.get(number, 0)
        return number == pid

    return sorted(number for number in found if is_below(number))


# --- sentences -----------------------------------------------------------------------------------------------------


def test_without_mpi_a_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert main(["train", "lm", "--out", str(tmp_path / "run"), "--data-parallel"]) == 2
    assert "pip install 'scratchlv[mpi]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--deterministic-across-P", "4"], "--deterministic-across-P 4 goes with --data-parallel"),
        (["--data-parallel", "--deterministic-across-P", "-1"], "give how many shards"),
        (["--data-parallel", "--overfit-one-batch"], "leave one of the two out"),
    ],
)
def test_options_that_do_not_go_together(options, sentence, capsys):
    assert main(["train", "lm", *options]) == 2
    assert sentence in capsys.readouterr().err


def test_more_threads_than_cores_are_refused(monkeypatch, capsys):
    team = SimpleNamespace(on_this_host=2, hosts=["vm", "vm"])
    monkeypatch.setattr(data_parallel, "usable_cores", lambda: Cores(2, "the cores of the machine"))
    with pytest.raises(
        UserError, match=r"--threads 2 in 2 processes on vm are more than its 2 cores .* give --threads 1"
    ):
        data_parallel._share_cores(team, 2)
    data_parallel._share_cores(team, 1)
    data_parallel._share_cores(team, None)
    assert capsys.readouterr().err == ""
    data_parallel._share_cores(SimpleNamespace(on_this_host=3, hosts=["vm"] * 3), None)
    assert "3 processes share 2 cores" in capsys.readouterr().err


def test_an_error_that_all_have_is_said_once(monkeypatch, capsys):
    class Team(mpi.Team):
        rank, size, on_this_host = 1, 2, 1

        def first(self, work):
            pass

        def close(self):
            pass

    def fail(_):
        raise data_parallel.SharedError("the disk is full")

    monkeypatch.setattr(data_parallel, "_team", lambda arguments, shards: Team())
    arguments = SimpleNamespace(data_parallel=True, threads=1)
    assert data_parallel.run(arguments, fail) == 2
    Team.rank = 0
    with pytest.raises(UserError, match="the disk is full"):
        data_parallel.run(arguments, fail)
