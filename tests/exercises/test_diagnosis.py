"""What the gradient checker says of a wrong gradient, from a process of its own, and that a hostile file gains nothing there."""

import dataclasses

import pytest

from scratchlv.exercises import diagnosis
from scratchlv.exercises.grading import grade
from tests.exercises import examples
from tests.exercises.examples import RIGHT

WRONG = RIGHT.replace("3 * w * x**2 * dy", "2 * w * x**2 * dy")
THERE = "import random, typing\nos, sys = random._os, typing.sys\nif 'scratchlv.gradcheck' in sys.modules:\n    {}\n"


@pytest.fixture
def said(tmp_path, monkeypatch):
    """What is said of a file; ``line``: the line."""
    exercise = examples.make(tmp_path)
    path = tmp_path / "01_cubes.py"
    path.write_text(WRONG)
    verdict = grade(exercise, path)
    assert verdict.failed is not None

    def say(text, line=False):
        path.write_text(text)
        return diagnosis.diagnosis(exercise, path, verdict, line=line)

    return say


def test_the_cause_is_told_and_the_line_only_when_asked_for(said):
    (cause,) = said(WRONG)
    assert "a constant factor that is missing or doubled" in cause
    (line,) = said(WRONG, line=True)
    number = WRONG.splitlines().index("    dx = 2 * w * x**2 * dy") + 1
    assert line.startswith(f"line {number}, `dx = 2 * w * x**2 * dy`") and "3 * w" not in line


def test_nothing_is_said_of_what_passes_or_fails_before(tmp_path):
    exercise = examples.make(tmp_path)
    path = tmp_path / "01_cubes.py"
    for text in (RIGHT, RIGHT.replace("w * x**3", "w * x**2")):
        path.write_text(text)
        assert diagnosis.diagnosis(exercise, path, grade(exercise, path)) == ()


@pytest.mark.parametrize("act", ["os.fork()", "open('../here', 'w')", "raise SystemExit", "os.kill(os.getppid(), 9)"])
def test_a_file_that_waits_for_the_checker_has_no_diagnosis_and_does_nothing(said, act):
    assert said(WRONG.replace("import numpy as np\n", "import numpy as np\n" + THERE.format(act))) == ()


def test_a_file_that_is_gone_meanwhile_or_never_ends_has_none(said, monkeypatch):
    monkeypatch.setattr(diagnosis, "SECONDS", 1.0)
    assert said(WRONG.replace("import numpy as np\n", "import numpy as np\n" + THERE.format("while True: pass"))) == ()
    assert said("") == ()


def test_sentences_of_a_strange_process_are_made_plain(said, monkeypatch):
    class Strange:
        reply = {"diagnosis": ["\x1b[2J" + "x" * 9999, 5, ["y"], "z"]}

        def __enter__(self):
            return self

        def __exit__(self, *them):
            pass

        def ask(self, do, **arguments):
            return self.reply

    monkeypatch.setattr(diagnosis, "process_for", lambda *them, **more: Strange())
    sentences = said(WRONG)
    assert len(sentences) == 3 and all(each.isprintable() and len(each) < 700 for each in sentences)
    for reply in (None, 5, {}, {"diagnosis": "text"}, {"diagnosis": None}):
        monkeypatch.setattr(Strange, "reply", reply)
        assert said(WRONG) == ()


def test_a_tiny_case_is_diagnosed_by_a_larger_one_of_the_same_functions(tmp_path):
    exercise = examples.make(tmp_path)
    first, many = diagnosis.truth.expected(exercise, 0)
    assert many.case == "random numbers" and diagnosis.telling(exercise, first).case == many.case
    assert diagnosis.telling(exercise, many) is many
    other = dataclasses.replace(first, functions=("f", "b"))
    assert diagnosis.telling(exercise, other) is other
