"""Runs that the commands are tried on, trained when they are first asked for."""

import shutil

import pytest

from scratchlv.cli import main
from scratchlv.tasks import TASKS

from .helpers import TINY, TINY_FILES, stories


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A run of any task and model, trained when it is first asked for."""
    root, found = tmp_path_factory.mktemp("runs"), {}

    def run_of(task, model=None):
        model = model or TASKS[task].models[0]
        if (task, model) not in found:
            folder = root / f"{task}-{model}"
            few = [*TINY_FILES, "--set", "restarts=2", "--set", "linear_steps=4"]
            data = ["--data", f"babi:{stories(root)}:1", *few] if task == "babi" else TINY
            beside = ["--set", "blind_steps=2", "--set", "encoder_steps=2"] if task == "vqa" else []
            assert main(["train", task, "--model", model, "--out", str(folder), *data, *beside]) == 0
            found[task, model] = folder
        return found[task, model]

    return run_of


@pytest.fixture(scope="session")
def trained(runs):
    return runs("caption")


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"
