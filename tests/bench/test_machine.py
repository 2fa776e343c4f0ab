"""Where figures were measured: what is told of the machine is there, whatever the machine."""

import json
import subprocess
from pathlib import Path

import pytest

from scratchlv.bench import machine

ROOT = Path(__file__).resolve().parents[2]


def test_the_machine_is_described_in_json():
    here = machine.describe()
    assert json.loads(json.dumps(here)) == here
    assert here["threads"] >= 1
    assert here["cores"] >= 1
    assert set(machine.SAME) <= here.keys()


def test_the_header_tells_what_figures_depend_on():
    here = machine.describe() | {"processor": "abacus", "commit": "1234567", "OPENBLAS_CORETYPE": None}
    text = "\n".join(machine.header(here))
    for words in ("abacus", machine.blas(), "commit 1234567", "of its own choice", here["numpy"], here["numba"]):
        assert words in text
    without = machine.header(here | {"commit": None, "OPENBLAS_CORETYPE": "Haswell", "blas_threads": None})
    assert "commit" not in "\n".join(without)
    assert "OPENBLAS_CORETYPE=Haswell)" in "\n".join(without)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the tests are not in a checkout")
def test_the_commit_is_that_of_the_checkout():
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        pytest.skip("git cannot read the checkout")
    assert head.stdout.startswith(machine.commit().removesuffix("-dirty"))


def test_without_git_there_is_no_commit(monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(machine.subprocess, "run", absent)
    assert machine.commit() is None
