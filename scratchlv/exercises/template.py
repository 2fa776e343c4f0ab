"""The folder of a new exercise: a small one that is complete, for its author to replace part by part."""

from __future__ import annotations

import keyword
import os
import shutil
from pathlib import Path

from scratchlv.errors import UserError
from scratchlv.exercises.course import open_course

_TOML = '''\
# Replace what is here, file by file; scratchlv exercise dev check NAME says what is missing.
title = "Squared distance"
order = {order}                      # its place in the course; the learner's file is {order:02d}_{name}.py
version = 1                    # raise it when the stub's functions change
needs = []                     # names of exercises that come before it
kind = "numpy"                 # numpy | numba | numba.cuda | cuda: what the learner writes in
minutes = 10                   # that it takes, about
sizes = {{ N = 3, D = 5 }}       # handed to cases(); all different, so that a wrong axis shows
tolerance = 1e-10              # of an element, as a share of the largest one
teaches = "Each of two inputs gets the slope of the square, 2 (x - t), and the one that is subtracted gets it with a minus."
real = []                      # files of scratchlv that do the same, such as "kernels/tanh/reference.py"
hints = [
    "The gradient dy has one number for each row, and each row of dx depends on its own number alone.",
    "By the chain rule, the slope of a square (x - t)² is 2 (x - t) to x, and the negative of that to t.",
    """
y_n = Σ_d (x_nd - t_nd)²
∂y_n/∂x_nd = 2 (x_nd - t_nd),  so  dx_nd = dy_n · 2 (x_nd - t_nd)
∂y_n/∂t_nd = -2 (x_nd - t_nd), so  dt = -dx""",
]
'''

_SOLUTION = '''\
"""Squared distance: how far each row of x is from its target.

    y_n = Σ_d (x_nd - t_nd)²

Shapes: x (N, D), t (N, D) -> y (N,). forward returns y, and a cache for backward, which may be anything.
backward gets dy (N,), the gradient of the loss to y, and the cache; it returns dx and dt, both (N, D).

A tiny example: 3 and 4 squared are 9 and 16.

    >>> forward(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]]))[0].tolist()
    [25.0]
"""

import numpy as np


def forward(x, t):
    """x (N, D), t (N, D) -> y (N,), cache."""
    # <solution>
    difference = x - t
    y = (difference**2).sum(axis=1)
    return y, difference
    # </solution>


def backward(dy, cache):
    """dy (N,), cache -> dx (N, D), dt (N, D)."""
    # <solution>
    difference = cache
    dx = 2 * dy[:, None] * difference
    return dx, -dx
    # </solution>
'''

_CASES = '''\
import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, D):
    """The simplest first: the check stops at the first that fails, and shows small arrays whole."""
    yield pair("forward", "backward", x=np.array([[3.0, 4.0]]), t=np.array([[1.0, 1.0]]))
    yield pair("forward", "backward", x=rng.standard_normal((N, D)), t=rng.standard_normal((N, D)))
    yield pair("forward", "backward", case="one row", x=rng.standard_normal((1, D)), t=rng.standard_normal((1, D)))
'''

_MISTAKES = {
    "sum_over_rows": """\
stage: shape
says: the sum goes over the rows: each row has a distance of its own, so it goes over axis 1

-    y = (difference**2).sum(axis=1)
+    y = (difference**2).sum(axis=0)
""",
    "no_two": """\
stage: gradient
says: the slope of a square is missing its factor 2

-    dx = 2 * dy[:, None] * difference
+    dx = dy[:, None] * difference
""",
    "same_sign": """\
stage: gradient
says: t is subtracted, so its gradient has the opposite sign of dx

-    return dx, -dx
+    return dx, dx
""",
}


def make(name: str, out: Path) -> Path:
    """The folder, in the course's folder ``out``; its place is after all that are there.

    Raises:
        UserError: the name cannot be one, or there is such a folder.
    """
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
        raise UserError(f"{name!r} cannot be an exercise's name: use letters, digits and _, such as layer_norm")
    folder = out / name
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} is there already: choose another name, or another folder with --out")
    files = {
        "exercise.toml": _TOML.format(name=name, order=_next_order(out)),
        "solution.py": _SOLUTION,
        "cases.py": _CASES,
        **{f"mistakes/{mistake}.patch": text for mistake, text in _MISTAKES.items()},
    }
    new = out / f".{name}.{os.getpid()}"
    try:
        for path, text in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_text(text, "utf-8", newline="\n")
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _next_order(out: Path) -> int:
    there = any(out.glob("*/exercise.toml"))
    return max((each.order for each in open_course(out)), default=0) + 1 if there else 1
