"""Arguments that several commands share."""

import pytest

from scratchlv.cli import main

from .helpers import fails, picture


@pytest.mark.parametrize("command", ["bench relu", "train lm --data scenes --out x", "demo", "evaluate x"])
def test_threads_that_are_not_there(capsys, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(capsys, *command.split(), "--threads", "0", saying=["--threads", "1 or more"])
    fails(capsys, *command.split(), "--threads", "900", saying=["--threads", "NUMBA_NUM_THREADS=900"])
    fails(capsys, *command.split(), "--threads", "100000", saying=["--threads", "1000 or less"])
    assert not list(tmp_path.iterdir())


def test_several_pictures_make_several_sheets(trained, tmp_path):
    images = [str(picture(tmp_path / f"{i}.png")) for i in range(2)]
    assert main(["caption", str(trained), *images, "--picture", str(tmp_path / "attention.png")]) == 0
    assert (tmp_path / "attention-1.png").exists()
    assert (tmp_path / "attention-2.png").exists()
