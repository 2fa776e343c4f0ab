"""The program as a whole: its help, and what becomes of its output."""

import subprocess
import sys

import pytest

from scratchlv import __version__
from scratchlv.cli import main

from .helpers import misused


def test_help_and_version(capsys):
    for arguments, saying in (
        (["--help"], "train"),
        (["--version"], f"scratchlv {__version__}"),
        (["train", "caption", "--help"], "--preset"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 0
        assert saying in capsys.readouterr().out


def test_commands_and_options_that_there_are_not(capsys):
    assert "'nonsense'" in misused(capsys, "nonsense")
    assert "--nonsense" in misused(capsys, "demo", "--nonsense")


def test_output_cut_short_by_its_reader_is_no_error():
    command = f"{sys.executable} -m scratchlv doctor | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
