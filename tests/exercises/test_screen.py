"""The screen of a check: both sides beside each other where they fit, plain letters where there are no others."""

import io

from scratchlv.exercises.course import open_course
from scratchlv.exercises.grading import Verdict
from scratchlv.exercises.screen import Screen

WRONG = Verdict(
    "softmax",
    False,
    "value",
    "forward's y is wrong everywhere",
    expected="[[0.25, 0.75]]",
    came="[[0.5, 0.5]]",
    diagnosis=("the exponential is missing",),
    call="forward(scores=[[0.0, 1.0986]])",
    function="forward",
    line=50,
)


def shown(verdict=WRONG, width=80, out=None):
    out = out or io.StringIO()
    Screen(out, width).verdict(open_course().find("softmax"), verdict, "03_softmax.py", ["a note"])
    return out.getvalue() if isinstance(out, io.StringIO) else ""


def test_expected_and_came_stand_beside_each_other_where_they_fit():
    (line,) = [line for line in shown(width=80).splitlines() if "0.25" in line]
    assert "[[0.5, 0.5]]" in line
    (line,) = [line for line in shown(width=33).splitlines() if "0.25" in line]
    assert "[[0.5, 0.5]]" not in line


def test_the_screen_says_which_stages_are_right_where_it_fails_and_why():
    said = shown()
    for part in (
        "03 softmax  not yet: value",
        "shape right  dtype right  value WRONG  gradient",
        "03_softmax.py, line 50 (in forward)",
        "→ the exponential is missing",
        "note: a note",
    ):
        assert part in said


def test_an_encoding_without_arrows_gets_plain_letters():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    shown(out=out)
    out.flush()
    assert b"-> the exponential is missing" in raw.getvalue() or b"? the exponential" in raw.getvalue()


def test_there_is_no_colour_outside_of_a_terminal():
    assert "\x1b" not in shown()
