"""``scratchlv gradcheck FILE.py``: its verdict, its exit status, and what it says to mistakes."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchlv.cli import main
from scratchlv.errors import UserError
from scratchlv.gradcheck import file_command
from scratchlv.gradcheck.file_command import Options
from scratchlv.gradcheck.report import Report

ROOT = Path(__file__).resolve().parents[2]
LAYER = """
import numpy as np

def forward(x, W, b):  # x: (N, D), W: (D, H), b: (H,)
    y = np.tanh(x @ W + b)
    return y, (x, W, y)

def backward(dy, cache):
    x, W, y = cache
    da = dy * (1 - y{})
    return da @ W.T, x.T @ da, da.sum(0)
"""
RIGHT, WRONG = LAYER.format("**2"), LAYER.format("")
UNTOLD = LAYER.format("**2") + "inputs = {'x': np.zeros((0, 5)), 'W': np.ones((5, 2)), 'b': np.ones(2)}\n"


@pytest.fixture
def file(tmp_path):
    def write(text, name="layer.py"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def run(*files, **options):
    out = io.StringIO()
    status = file_command.run(files, Options(**options), out=out)
    return status, out.getvalue()


@pytest.mark.parametrize(
    ("text", "status", "verdict"), [(RIGHT, 0, "right"), (WRONG, 1, "WRONG"), (UNTOLD, 3, "not checked")]
)
def test_the_exit_status_says_the_verdict(file, text, status, verdict):
    path = file(text)
    found, said = run(path)
    assert found == status
    assert said.startswith(f"{path}: {verdict}\n")


def test_of_several_files_the_worst_counts(file):
    right, wrong, untold = file(RIGHT, "a.py"), file(WRONG, "b.py"), file(UNTOLD, "c.py")
    assert run(right, untold)[0] == 3
    assert run(untold, wrong, right)[0] == 1


def test_json_comes_last(file):
    path = file(WRONG)
    result = json.loads(run(path, as_json=True)[1].splitlines()[-1])
    assert result["status"] == 1
    assert [gradient["name"] for gradient in result["reports"][0]["gradients"]] == ["dx", "dW", "db"]
    assert result["reports"][0]["subject"] == path


@pytest.mark.slow
def test_seed_fixed_and_state_are_handed_on(file):
    text = "def forward(x, m, s):  # x: (N, D), m: (N, D), s: (D,)\n    s += 1\n    return x * m, m\n"
    path = file(text + "def backward(dy, m):\n    return dy * m\n")
    assert "forward changes its inputs in place: s" in run(path)[1]
    assert run(path, fixed=["m"], state=["s"])[0] == 0
    assert run(path, fixed=["m"], state=["s"], seed=3)[1] == run(path, fixed=["m"], state=["s"], seed=3)[1]
    for wrong in (
        file(WRONG),
        file(WRONG + "inputs = {'x': np.ones((3, 5)), 'W': np.ones((5, 2)), 'b': np.ones(2)}\n"),
    ):
        assert run(wrong, seed=1)[1] != run(wrong, seed=2)[1]


def test_sizes_and_what_makes_other_inputs_are_handed_on(file, monkeypatch):
    seen = {}

    def check(*arguments, **options):
        seen.update(options)
        return real(*arguments, **options)

    real = file_command.check
    monkeypatch.setattr(file_command, "check", check)
    run(file(RIGHT), further={"tolerance": 0.5})
    assert seen["sizes"] == {"N": 3, "D": 5, "H": 2}
    assert seen["remake"](N=1)["x"].shape == (1, 5)
    assert seen["tolerance"] == 0.5


def test_a_layer_with_weights(file):
    text = """
import numpy as np
class Scale:
    def __init__(self):
        self.w = np.arange(1.0, 6.0)
    def forward(self, x):  # x: (N, D)
        self.x = x
        return x * self.w
    def backward(self, dy):
        self.dw = dy.sum(0)
        return dy * self.w
"""
    status, said = run(file(text) + ":Scale")
    assert status == 1
    assert "dw: error" in said and "dx: error" in said


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.ones((2, 3))}, "in.npz: inputs has no W, b; forward's parameters are x, W, b"),
        (dict.fromkeys("xWbc", np.ones(2)), "in.npz: forward has no parameter c"),
    ],
)
def test_inputs_that_do_not_fit_forward_are_the_users_mistake(file, tmp_path, inputs, message):
    np.savez(tmp_path / "in.npz", **inputs)
    with pytest.raises(UserError, match=message):
        run(file(RIGHT), npz=tmp_path / "in.npz")


def test_names_that_are_no_inputs(file):
    with pytest.raises(UserError, match="--fixed names 'mask', and there is no such input; there are x, W, b"):
        run(file(RIGHT), fixed=["mask"])


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lstm", "FILE"], "lstm is an operation and .*layer.py a file: check them one after the other"),
        (["FILE", "--variant", "cuda"], "--variant is of built-in operations"),
        (["FILE", "--version", "1"], "--version is of built-in operations"),
        (["--fixed", "m", "FILE"], "layer.py stands behind names of inputs and is taken for one: give the file first"),
        (["lstm", "--watch"], "--watch is of files of your own: name one"),
        (["lstm", "--no-repair"], "--no-repair is of files of your own"),
        (["lstm", "--hint", "line"], "--hint is of files of your own"),
        (["FILE", "--hint", "line", "--no-repair"], "--hint line is of the line that --no-repair does not look for"),
        (["--seed", "1"], "--seed is of files of your own"),
        (["lstm", "--inputs", "in.npz"], "--inputs is of files of your own"),
        (["FILE", "FILE", "--inputs", "in.npz"], "--inputs is of one file, and there are 2"),
        (["FILE", "FILE", "--watch"], "--watch follows one file, and there are 2"),
        (["gone.py", "--watch"], "gone.py: there is no such file to watch; check the path"),
        (["FILE", "--watch", "--inputs", "gone.npz"], "gone.npz: there is no such file to watch"),
        (["gone.py"], "gone.py: there is no such file; check the path"),
        (["FILE:a,b"], "has no a: its functions are forward, backward|has no a: name the two"),
        (["layer.ipynb"], "layer.ipynb is no Python file"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(file, capsys, arguments, message):

    path = file(RIGHT)
    assert main(["gradcheck", *(each.replace("FILE", path) for each in arguments)]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert said.startswith("scratchlv: ") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {"repair": True, "hint": "mend"}),
        (["--no-repair"], {"repair": False, "hint": "mend"}),
        (["--hint", "line"], {"repair": True, "hint": "line"}),
    ],
)
def test_what_is_said_of_the_line_is_handed_on(file, monkeypatch, words, options):
    seen = {}
    monkeypatch.setattr(file_command, "check", lambda *_, **options: seen.update(options) or Report("x"))
    main(["gradcheck", file(RIGHT), *words])
    assert {key: seen[key] for key in options} == options


def scratchlv(*arguments, cwd, **environment):
    command = [sys.executable, "-m", "scratchlv", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True, text=True
    )


def test_the_command_from_the_files_folder(file, tmp_path):
    file(WRONG)
    done = scratchlv("gradcheck", "layer.py", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("layer.py: WRONG\n")
    assert [path.name for path in tmp_path.iterdir()] == ["layer.py"]


def test_an_ascii_terminal_is_no_trouble(file, tmp_path):
    file(RIGHT + "print('loud')\nforward.__doc__ = 'ᵀ'\n")
    done = scratchlv("gradcheck", "layer.py:forward,wrong", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    file("# ᵀ\n" + WRONG.replace("(1 - y)", "(1 - y) / len(x)"))
    assert scratchlv("gradcheck", "layer.py", cwd=tmp_path, PYTHONIOENCODING="ascii").returncode == 1
