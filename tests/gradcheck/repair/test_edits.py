"""Which edits of a line there are: the right one is among them, and each can be undone."""

import ast
import importlib.util

import numpy as np
import pytest

from scratchlv.gradcheck.repair.facts import observe
from scratchlv.gradcheck.repair.mend import mended
from scratchlv.gradcheck.repair.sites import narrow_edits, wide_edits
from scratchlv.gradcheck.repair.source import called, functions, unwrapped

from ...slow import one_of

FRAME = """
import numpy as np

EPS = 1e-5

def backward(dy, x, W, h, hs, cs, p, idx, mask, lengths, keep, stride, lr):
    N, D = dy.shape
    dW = np.zeros_like(W)
    rows = np.zeros((5, D))
    dh_next = np.zeros_like(h)
    for t in reversed(range(3)):
        LINE
    return dW, rows
"""


def arguments():
    g = np.random.default_rng(0).standard_normal
    tanh = np.tanh(g((4, 3)))
    return {
        "dy": g((4, 3)),
        "x": g((4, 2)),
        "W": g((2, 3)),
        "h": tanh,
        "hs": [tanh, tanh / 2, tanh / 3, tanh / 4],
        "cs": [tanh, tanh / 2, tanh / 3, tanh / 4],
        "p": np.abs(tanh) + 1e-3,
        "idx": np.array([0, 1, 1, 4]),
        "mask": g((4, 3)) > 0,
        "lengths": np.array([1, 2, 3, 3]),
        "keep": 0.7,
        "stride": 2,
        "lr": 0.1,
    }


def edits_of(tmp_path, line):
    path = tmp_path / "framed.py"
    path.write_text(FRAME.replace("LINE", line))
    spec = importlib.util.spec_from_file_location("framed", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run():
        return module.backward(**arguments())

    (function,) = functions(called(run, unwrapped(module.backward)), unwrapped(module.backward))
    facts = observe(function, run)
    return function, [*narrow_edits(function, facts, lambda statement: True), *wide_edits(function, facts)]


LINES = [  # as it stands, as it should be, what the edit says
    ("dW = x.T @ dy", "dW += x.T @ dy", "with +="),
    ("dW -= x.T @ dy", "dW += x.T @ dy", "with +="),
    ("dW += x.T @ dy", "dW = x.T @ dy", "with ="),
    ("dx = dy @ W", "dx = dy @ W.T", "with .T"),
    ("dx = dy.T @ W.T", "dx = dy @ W.T", "without .T"),
    ("dW += dy.T @ x", "dW += (dy.T @ x).T", "with .T"),
    ("db = dy.sum(1)", "db = dy.sum(0)", None),
    ("db = np.sum(dy, axis=1)", "db = np.sum(dy, axis=0)", None),
    ("db = dy.mean(0)", "db = dy.sum(0)", "with sum for mean"),
    ("db = dy", "db = dy.sum(0)", "with .sum(0)"),
    ("dh = dy", "dh = dy + dh_next", "with + dh_next"),
    ("dh = dy - dh_next", "dh = dy + dh_next", "with + for -"),
    ("da = dy * (1 - h)", "da = dy * (1 - h ** 2)", None),
    ("da = dy * (1 - hs[t + 1] ** 2)", "da = dy * (1 - hs[t] ** 2)", None),
    ("da = dy * hs[t]", "da = dy * cs[t]", "with cs[t] for hs[t]"),
    ("da = dy", "da = dy * (1 - h ** 2)", None),
    ("da = dy", "da = dy / N", "with / N"),
    ("da = dy", "da = dy / keep", "with / keep"),
    ("da = dy * keep", "da = dy / keep", "with / for *"),
    ("da = dy", "da = dy * mask", "with * mask"),
    ("da = dy * (x[:, :1] > 0)", "da = dy * (x[:, :1] < 0)", "with < for >"),
    ("da = lr * dy", "da = dy", None),
    ("rows[idx] += dy", "np.add.at(rows, idx, dy)", "with np.add.at"),
    ("rows[idx] = dy", "np.add.at(rows, idx, dy)", "with np.add.at"),
    ("ds = p * dy", "ds = p * (dy - (p * dy).sum(-1, keepdims=True))", None),
    ("ds = dy / np.sqrt(h)", "ds = dy", None),
    ("k = t", "k = t * stride", None),
    ("dk = h[::-1]", "dk = h", "without [::-1]"),
    ("dk = h", "dk = h[..., ::-1, ::-1]", "with [..., ::-1, ::-1]"),
    ("a, b = h, p", "a, b = p, h", "with h and p exchanged"),
    ("da = dy.astype(np.float32)", "da = dy.astype(np.float64)", "with float64 for float32"),
    ("da = dh_next", "da = dh_next.copy()", "with .copy()"),
    ("da = 2 * dy", "da = 0.5 * dy", "with 0.5 for 2"),
    ("da = dy * h + p", "da = dy * (h + p)", "with brackets"),
    ("da = np.einsum('nd,nk->dk', dy, x)", "da = np.einsum('nd,nk->kd', dy, x)", None),
    ("best = p.argmax(0)", "best = p.argmax(1)", None),
    ("db = dy[-1]", "db = dy.sum(0)", None),
    ("db = dy[:, :1]", "db = dy.sum(-1, keepdims=True)", None),
    ("da = dy", "da = dy - 1", "with - 1"),
    ("da = dy / p", "da = dy / (p + EPS)", "with + EPS"),
    ("da = dy * h * (1 - h)", "da = dy * (1 - h ** 2)", None),
    ("da = dy * np.sin(h)", "da = dy * np.cos(h)", "with cos for sin"),
    ("rows[N - 3] += dy[0]", "rows[t * stride + N - 3] += dy[0]", "with t * stride + N - 3 for N - 3"),
    ("da = dy[:, ::-1]", "da = dy", "without [:, ::-1]"),
    ("db = h[:, 0][-1]", "db = h[:, 0].sum()", None),
    ("da = np.stack([dy, h])", "da = np.stack([dy, h])[:, ::-1]", "with [:, ::-1]"),
    ("da = (dy + h) * p * keep", "da = dy + h * p * keep", "with brackets"),
    (
        "rows[t : t + 1] += dy[:1]",
        "rows[t * stride : t * stride + 1] += dy[:1]",
        "with each index of a window times stride",
    ),
    ("rows[:2] += dy[:2]", "rows[t : t + 2] += dy[:2]", "with t:t + 2 for :2"),
    ("da, db = dy[:, :N], dy[:, N:]", "da, db = dy[:, D:], dy[:, :D]", "cut at D: and :D"),
    ("rows[0] += dy[0]", "rows[t] += dy[0]", "with t for 0"),
    ("top, left = t, N", "top, left = t * stride, N", "with t * stride"),
]


@pytest.mark.parametrize(("line", "mend", "how"), one_of(3, LINES))
def test_the_right_edit_of_a_line_is_among_them(tmp_path, line, mend, how):
    if line.startswith("k ="):
        line, mend = "k = x[t - 1]", "k = x[(t - 1) * stride]"
    function, edits = edits_of(tmp_path, line)
    wanted = ast.dump(ast.parse(mend))
    number = FRAME.splitlines().index("        LINE") + 1
    (edited,) = [node for node in ast.walk(function.node) if isinstance(node, ast.stmt) and node.lineno == number]
    own = (edit for edit in edits if edit.statement is edited and how in (None, edit.described()))
    assert any(_parsed(mended(edit) or "") == wanted for edit in own)


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ("da = p / p.sum()", "followed by da[np.arange(len(idx)), idx] -= 1"),
        ("rows[t, t] += dy[0, 0]", "with t + N and t + D as the place"),
    ],
)
def test_there_are_edits_that_are_told_without_the_line(tmp_path, line, how):
    assert how in {edit.described() for edit in edits_of(tmp_path, line)[1]}


def _parsed(text):
    try:
        return ast.dump(ast.parse(text))
    except SyntaxError:  # the head of a loop
        return ""


@pytest.mark.parametrize("line", ["dW = x.T @ dy", "da = dy * (1 - hs[t + 1] ** 2)", "rows[idx] += dy"])
def test_each_edit_is_undone(tmp_path, line):
    function, edits = edits_of(tmp_path, line)
    before = ast.dump(function.tree)
    assert len(edits) > 100
    for edit in edits[::5]:
        edit.apply()
        edit.revert()
        assert ast.dump(function.tree) == before, edit.described()


def test_most_edits_can_be_compiled(tmp_path):
    function, edits = edits_of(tmp_path, "da = dy * (1 - hs[t + 1] ** 2)")
    compiled = 0
    for edit in edits[::5]:
        edit.apply()
        compiled += function.compiled() is not None
        edit.revert()
    assert compiled > 0.97 * len(edits[::5])


def test_a_line_is_mended_in_its_own_formatting(tmp_path):
    _, edits = edits_of(tmp_path, "da = ( dy ) * (1-h)  # local derivative")
    assert "da = ( dy ) * (1-h ** 2)  # local derivative" in {mended(edit) for edit in edits}


def test_a_mend_is_shown_without_what_does_nothing(tmp_path):
    shown = {mended(edit) for edit in edits_of(tmp_path, "da = 2 * h[::-1]")[1]}
    assert "da = h[::-1]" in shown and "da = 2 * h" in shown
    assert not {"da = 1 * h[::-1]", "da = 2 * h[::1]"} & shown
