"""What the tests of the command line share."""

import numpy as np
import pytest
from PIL import Image

from scratchlv.cli import main

TINY_FILES = ["--set", "steps=6", "--set", "batch=8", "--set", "warmup=2"]
TINY = [*TINY_FILES, "--set", "n_train=40", "--set", "n_val=12"]  # of scenes


def stories(root):
    folder = root / "babi"
    folder.mkdir(exist_ok=True)
    told = "1 Mary went to the {0}.\n2 John moved to the {1}.\n3 Where is Mary? \t{0}\t1\n"
    text = "".join(told.format(*rooms) for rooms in [("hall", "garden"), ("garden", "hall")] * 8)
    (folder / "qa1_single-supporting-fact_train.txt").write_text(text)
    return folder


def picture(path, mode="RGB", size=(90, 60)):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode).save(path)
    return path


def fails(capsys, *arguments, saying=()):
    """The command ends with status 2 and one line, without a traceback, that holds all of ``saying``."""
    status = main([str(a) for a in arguments])
    error = capsys.readouterr().err
    assert status == 2
    assert "Traceback" not in error
    line = error.strip().splitlines()[-1]
    assert line.startswith("scratchlv: ")
    for part in saying:
        assert part in line


def misused(capsys, *arguments):
    """What argparse says of a command line that it does not understand."""
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err
