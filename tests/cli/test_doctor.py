"""``doctor``."""

import os
import subprocess
import sys

import pytest

from scratchlv.cli import main
from scratchlv.kernels.building_blocks import parameters
from scratchlv.kernels.building_blocks.processor import caches


def test_doctor_says_what_runs_and_ends_well(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in ("numpy", "additive_attention", "numba_cpu", "GPU", "EfficientNet-Lite0", "compiled kernels"):
        assert part in said


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"mine": 0}, "none yet; the first run compiles them, once, into mine ("),
        ({"mine": 46}, "46 kept in mine ("),
        (
            {"shared": 40, "tmp": 0},
            "40 in shared, which is read-only; what is missing there is compiled, once, into tmp (",
        ),
        ({"shared": 40, "tmp": 6}, "40 in shared, which is read-only; 6 kept in tmp ("),
    ],
)
def test_doctor_says_how_many_kernels_are_kept_and_where(kept, said, monkeypatch, capsys):
    monkeypatch.setattr("scratchlv.kernels.building_blocks.kernel_cache.kept", lambda: kept)
    main(["doctor"])
    assert f"compiled kernels: {said}" in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def chosen_afresh(monkeypatch, tmp_path):
    monkeypatch.setenv("SCRATCHLV_CACHE", str(tmp_path))
    parameters.choices.cache_clear()
    yield
    parameters.choices.cache_clear()


def test_doctor_says_what_kernels_are_cut_for(chosen_afresh, monkeypatch, capsys):
    monkeypatch.setenv("SCRATCHLV_PARAMETERS", "adam.block=48")
    parameters.tuned_file().parent.mkdir()
    parameters.tuned_file().write_text("{")
    main(["doctor"])
    said = capsys.readouterr().out
    assert f"caches: {caches().told}" in said
    rows = [line.split()[:3] for line in said.splitlines() if line.startswith("  ")]
    assert ["adam.block", "48", "SCRATCHLV_PARAMETERS"] in rows
    assert {row[0] for row in rows if row[-1] == "derived"} == parameters.PARAMETERS.keys() - {"adam.block"}
    assert "cannot be read or is damaged" in said


def test_parameters_that_are_none_are_a_sentence(chosen_afresh, monkeypatch, capsys):
    monkeypatch.setenv("SCRATCHLV_PARAMETERS", "adam.block=0")
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err == "scratchlv: SCRATCHLV_PARAMETERS: adam.block=0: it must be 16 or more\n"


def test_vectors_that_there_are_not_are_a_sentence():
    command = [sys.executable, "-m", "scratchlv", "doctor"]
    done = subprocess.run(command, env=os.environ | {"SCRATCHLV_VECTORS": "5"}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "scratchlv: SCRATCHLV_VECTORS=5: give 16, 8 or 4, the floats that a vector holds\n"
