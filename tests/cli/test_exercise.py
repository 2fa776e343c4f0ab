"""``scratchlv exercise``: what the command line hands on, and what it refuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scratchlv.cli import main

from .helpers import fails, misused

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_exercise_is_begun_and_checked(folder, capsys):
    assert main(["exercise", "start"]) == 0
    (file,) = folder.glob("*.py")
    assert file.name == "01_numerical_derivative.py"
    assert main(["exercise", "check"]) == 1
    assert "yours to write" in capsys.readouterr().out


def test_another_folder_is_served(folder, capsys):
    (folder / "mine").mkdir()
    assert main(["exercise", "start", "softmax", "--folder", "mine"]) == 0
    assert (folder / "mine" / "03_softmax.py").is_file()
    assert main(["exercise", "progress", "--folder", "mine"]) == 0
    assert "softmax" in capsys.readouterr().out


def test_what_cannot_be_is_said_in_a_sentence(folder, capsys):
    fails(capsys, "exercise", "check", saying=("no exercise is begun in", "scratchlv exercise start"))
    fails(capsys, "exercise", "start", "sofmax", saying=("'sofmax'", "softmax"))
    fails(capsys, "exercise", "start", "--folder", "nowhere", saying=("nowhere", "there is no such folder"))
    fails(capsys, "exercise", "list", "--course", "nowhere.zip", saying=("nowhere.zip", "there is no such course"))
    main(["exercise", "start", "softmax"])
    fails(capsys, "exercise", "solution", saying=("opens when it is passed", "--reveal"))
    fails(capsys, "exercise", "check", "--watch", "--json", saying=("--json", "--watch"))
    fails(capsys, "exercise", "check", "--course", str(folder), saying=("holds no exercise",))


def test_an_action_that_is_not_there_shows_those_that_are(folder, capsys):
    assert "'chek'" in misused(capsys, "exercise", "chek")


def test_dev_check_proves_an_exercise(capsys):
    assert main(["exercise", "dev", "check", "dropout"]) == 0
    said = capsys.readouterr().out
    assert "right  dropout" in said and "1 right, 0 WRONG" in said


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="no Ctrl-C can be sent here")
def test_a_watched_file_is_checked_at_every_save_until_ctrl_c(folder):
    main(["exercise", "start", "dropout"])
    (file,) = folder.glob("*_dropout.py")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "scratchlv", "exercise", "check", "--watch"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        _wait_for(process, "waiting for a change")
        file.write_text(file.read_text().replace("raise NotImplementedError", "raise ValueError"))
        said = _wait_for(process, "waiting for a change")
        assert "ValueError" in said
    finally:
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130 and error.strip() == "scratchlv: interrupted"


def _wait_for(process, words, patience=60):
    """What was printed up to these words."""
    until, said = time.monotonic() + patience, ""
    while words not in said and time.monotonic() < until:
        said += process.stdout.readline()
    assert words in said
    return said
