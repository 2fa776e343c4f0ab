"""An exercise for the tests: y = w x³, with its mistakes; and what a test changes in it."""

from pathlib import Path

from scratchlv.exercises.exercise import Exercise, read

TOML = """
title = "Cubes"
order = 1
sizes = { N = 3, D = 5 }
teaches = "The power rule."
minutes = 5
seconds = 5
memory = 1
hints = ["Look at x.", "The exponent goes in front.", "d(x³)/dx = 3 x²"]
"""
SOLUTION = '''"""Cubes: y = w x³.

    >>> forward(np.array([2.0]), np.array([1.0]))[0].tolist()
    [8.0]
"""

import numpy as np


def forward(x, w):
    """x (N, D), w (D,) -> y (N, D), cache."""
    # <solution>
    y = w * x**3
    return y, (x, w)
    # </solution>


def backward(dy, cache):
    """dy (N, D) -> dx, dw."""
    # <solution>
    x, w = cache
    dx = 3 * w * x**2 * dy
    dw = (x**3 * dy).sum(axis=0)
    return dx, dw
    # </solution>
'''
CASES = """
import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, D):
    yield pair("forward", "backward", x=np.array([[2.0]]), w=np.array([1.0]))
    yield pair("forward", "backward", case="random numbers", x=rng.standard_normal((N, D)), w=rng.standard_normal(D))
"""
MISTAKES = {
    "no_cube": "stage: value\nsays: w is cubed as well\n\n-    y = w * x**3\n+    y = (w * x) ** 3\n",
    "no_factor": "stage: gradient\nsays: the 3 is missing\n\n-    dx = 3 * w * x**2 * dy\n+    dx = w * x**2 * dy\n",
    "mean": "stage: gradient\nsays: dw is a sum\n\n-    dw = (x**3 * dy).sum(axis=0)\n+    dw = (x**3 * dy).mean(axis=0)\n",
}
RIGHT = SOLUTION.replace("    # <solution>\n", "").replace("    # </solution>\n", "")
FORWARD = RIGHT.partition("\n\ndef backward")[0].partition('"""\n\n')[2]  # the import and forward
BACKWARD = "def backward(dy, cache):\n" + RIGHT.rpartition('"""\n')[2]


def write(folder: Path, **changed: str | dict[str, str]) -> Path:
    """The exercise's files, some of them changed: ``toml``, ``solution``, ``cases``, ``mistakes``."""
    folder.mkdir(parents=True)
    (folder / "exercise.toml").write_text(changed.get("toml", TOML), "utf-8")
    (folder / "solution.py").write_text(changed.get("solution", SOLUTION), "utf-8")
    (folder / "cases.py").write_text(changed.get("cases", CASES), "utf-8")
    (folder / "mistakes").mkdir()
    for name, text in dict(changed.get("mistakes", MISTAKES)).items():
        (folder / "mistakes" / f"{name}.patch").write_text(text, "utf-8")
    return folder


def make(tmp_path: Path, **changed: str | dict[str, str]) -> Exercise:
    """The exercise, in a course of its own."""
    return read(write(tmp_path / "course" / "cubes", **changed))
