"""What learners do in their folder: start, check, hint, solution, reset; what is lost or broken meets a sentence."""

import io
import json
import os
import shutil
import threading

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises.desk import Desk
from scratchlv.exercises.progress import FILE, read

TOML = """
title = "{title}"
order = {order}
sizes = {{ N = 3, D = 2 }}
needs = {needs}
minutes = 5
teaches = "That a factor goes
through, too."
real = ["kernels/relu/reference.py"]
hints = ["Look at the factor.", "It is a constant.", "dx = 2 dy"]
"""
SOLUTION = '''"""Twice x: y = 2 x."""

import numpy as np


def forward(x):
    """x (N, D) -> y (N, D), cache."""
    # <solution>
    return 2 * x, x.shape
    # </solution>


def backward(dy, cache):
    """dy (N, D) -> dx (N, D)."""
    # <solution>
    return 2 * dy
    # </solution>
'''
CASES = """
from scratchlv.exercises import pair


def cases(rng, N, D):
    yield pair("forward", "backward", x=rng.standard_normal((N, D)))
"""
RIGHT = "def forward(x):\n    return 2 * x, None\n\n\ndef backward(dy, cache):\n    return 2 * dy\n"
WRONG = RIGHT.replace("return 2 * dy", "return dy")


@pytest.fixture
def course(tmp_path):
    """Two exercises; the second needs the first."""
    folder = tmp_path / "course"
    for name, order, needs in (("double", 1, "[]"), ("twice", 2, '["double"]')):
        (folder / name / "mistakes").mkdir(parents=True)
        toml = TOML.format(title=f"To {name}", order=order, needs=needs).replace("goes\nthrough", "goes through")
        (folder / name / "exercise.toml").write_text(toml)
        (folder / name / "solution.py").write_text(SOLUTION)
        (folder / name / "cases.py").write_text(CASES)
        patch = "stage: gradient\nsays: the factor is missing on the way back\n\n-    return 2 * dy\n+    return dy\n"
        (folder / name / "mistakes" / "no_factor.patch").write_text(patch)
    return folder


@pytest.fixture
def learner(tmp_path, course):
    """A function that does something at a desk, and gives its status and what it printed."""
    folder = tmp_path / "mine"
    folder.mkdir()

    def act(action, *arguments, width=80, **options):
        out = io.StringIO()
        status = getattr(Desk.open(folder, course, out, width), action)(*arguments, **options)
        return status, out.getvalue()

    act.folder, act.course = folder, course
    return act


def write(learner, text, name="01_double.py"):
    (learner.folder / name).write_text(text)


# --- the usual way ----------------------------------------------------------------------------------------------------


def test_start_writes_a_stub_that_check_finds_unwritten(learner):
    status, said = learner("start", None)
    assert status == 0 and "01_double.py is written: To double" in said and "scratchlv exercise check" in said
    status, said = learner("check", None)
    assert status == 1 and "forward is yours to write" in said and "01_double.py, line 9" in said


def test_a_wrong_gradient_is_told_with_its_known_mistake(learner):
    learner("start", "double")
    write(learner, WRONG)
    status, said = learner("check", None)
    assert status == 1
    assert "not yet: gradient" in said and "value right  gradient WRONG" in said
    assert "→ the factor is missing on the way back" in said
    assert "expected" in said and "came" in said and "(in backward)" in said
    assert "hint --line" in said


def test_a_mistake_that_nobody_knew_is_diagnosed_by_the_gradient_checker(learner):
    learner("start", "double")
    write(learner, RIGHT.replace("return 2 * dy", "return -2 * dy"))
    said = learner("check", None)[1]
    assert "→ " in said and "sign" in said.partition("→ ")[2]


def test_passing_says_what_was_learned_and_what_comes_next(learner):
    learner("start", "double")
    write(learner, RIGHT)
    status, said = learner("check", None)
    assert status == 0
    for part in ("passed", "That a factor goes through, too.", "kernels/relu/reference.py", "Next: 02 twice, To twice"):
        assert part in said
    status, said = learner("start", None)
    assert "02_twice.py is written" in said
    write(learner, RIGHT, "02_twice.py")
    assert "all exercises of this course are solved" in learner("check", None)[1]


def test_what_the_file_prints_is_shown_and_cannot_change_the_terminal(learner):
    learner("start", "double")
    write(learner, RIGHT.replace("return 2 * x", "print('x is', x.shape, '\\x1b[2J'); return 2 * x"))
    said = learner("check", None)[1]
    assert "your file printed:" in said and "x is (3, 2) ?[2J" in said and "\x1b[2J" not in said


def test_the_verdict_as_json(learner):
    learner("start", "double")
    write(learner, WRONG)
    status, said = learner("check", None, as_json=True)
    verdict = json.loads(said)
    assert (
        status == 1 and verdict["stage"] == "gradient" and verdict["mistake"] == "no_factor" and not verdict["passed"]
    )
    assert verdict["diagnosis"] == ["the factor is missing on the way back"]


# --- help -------------------------------------------------------------------------------------------------------------


def test_each_hint_shows_one_more_and_all_stay(learner):
    learner("start", "double")
    assert "constant" not in learner("hint", None)[1]
    assert "constant" in learner("hint", None)[1]
    for _ in range(2):
        said = learner("hint", None)[1]
        assert "Look at the factor." in said and "dx = 2 dy" in said and "Hint 3 of 3" in said
    assert "all of them once more" in (learner("check", None)[1])


def test_the_line_of_a_mistake_is_a_hint_and_its_mend_is_not(learner):
    learner("start", "double")
    write(learner, WRONG)
    status, said = learner("hint", None, line=True)
    assert status == 0 and "line 6, `return dy`" in said and "2 * dy" not in said
    write(learner, RIGHT)
    assert "there is no such line" in learner("hint", None, line=True)[1]
    write(learner, RIGHT.replace("return 2 * x, None", "return 3 * x, None"))
    assert "fails before" in learner("hint", None, line=True)[1]


def test_the_solution_opens_when_it_is_passed_or_revealed(learner):
    learner("start", "double")
    with pytest.raises(UserError, match="opens when it is passed; --reveal"):
        learner("solution", None)
    said = learner("solution", None, reveal=True)[1]
    assert "return 2 * dy" in said and "<solution>" not in said
    assert "the solution" in learner("report")[1]
    write(learner, RIGHT)
    learner("check", None)
    assert "return 2 * dy" in learner("solution", None)[1]


def test_a_solution_seen_after_passing_is_not_held_against_anyone(learner):
    learner("start", "double")
    write(learner, RIGHT)
    learner("check", None)
    learner("solution", None)
    assert not json.loads(learner("report", as_json=True)[1])["exercises"][0]["revealed"]


# --- nothing is lost --------------------------------------------------------------------------------------------------


def test_start_does_not_write_over_work_and_force_keeps_a_copy(learner):
    learner("start", "double")
    write(learner, WRONG)
    with pytest.raises(UserError, match="holds work: go on with it, or begin anew with --force"):
        learner("start", "double")
    assert (learner.folder / "01_double.py").read_text() == WRONG
    learner("start", "double", force=True)
    learner("reset", "double")  # the stub as it is: there is nothing to keep
    write(learner, RIGHT)
    said = learner("reset", None)[1]
    assert "kept as 01_double.py.kept-2" in said
    assert [(learner.folder / f"01_double.py.kept-{i}").read_text() for i in (1, 2)] == [WRONG, RIGHT]
    assert "yours to write" in (learner.folder / "01_double.py").read_text()


def test_a_start_that_is_refused_makes_the_exercise_the_current_one(learner):
    learner("start", "double")
    write(learner, WRONG)
    learner("start", "twice")
    with pytest.raises(UserError):
        learner("start", "double")
    assert "01 double" in learner("check", None)[1]


def test_a_stub_saved_with_other_line_ends_holds_no_work(learner):
    learner("start", "double")
    path = learner.folder / "01_double.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert learner("start", "double")[0] == 0


@pytest.mark.parametrize("text", [RIGHT.replace("\n", "\r\n"), RIGHT.replace("    ", "\t"), "\ufeff" + RIGHT])
def test_other_line_ends_tabs_and_a_byte_order_mark_are_fine(learner, text):
    learner("start", "double")
    (learner.folder / "01_double.py").write_bytes(text.encode())
    assert learner("check", None)[0] == 0


# --- what is missing or moved -----------------------------------------------------------------------------------------


def test_a_file_that_was_renamed_is_found_by_its_first_line(learner):
    learner("start", "double")
    path = learner.folder / "01_double.py"
    path.rename(learner.folder / "my_double.py")
    said = learner("check", None)[1]
    assert "note: 01_double.py is not there; my_double.py has its first line" in " ".join(said.split())
    assert "my_double.py, line 9" in said
    assert read(learner.folder).of("double").file == "my_double.py"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(learner):
    learner("start", "double")
    (learner.folder / "01_double.py").unlink()
    os.mkfifo(learner.folder / "01_double.py")
    with pytest.raises(UserError, match="01_double.py is no file: give a file"):
        learner("check", None)


def test_a_renamed_file_with_a_byte_order_mark_is_found(learner):
    learner("start", "double")
    path = learner.folder / "01_double.py"
    (learner.folder / "mine.py").write_text("\ufeff" + path.read_text(), "utf-8")
    path.unlink()
    assert "mine.py, line 9" in learner("check", None)[1]


def test_a_file_that_was_deleted_is_missed_in_a_sentence(learner):
    learner("start", "double")
    (learner.folder / "01_double.py").unlink()
    with pytest.raises(UserError, match="there is no such file; scratchlv exercise start double writes it"):
        learner("check", None)
    assert learner("start", "double")[0] == 0


def test_a_check_in_a_folder_where_nothing_was_begun(learner):
    with pytest.raises(UserError, match="no exercise is begun in .*mine: scratchlv exercise start begins one, or cd"):
        learner("check", None)


def test_an_unknown_exercise_has_nearest_names(learner):
    with pytest.raises(UserError, match="there is no exercise 'duoble'; the nearest are double"):
        learner("start", "duoble")


def test_a_file_from_an_older_version_is_told_of(learner):
    learner("start", "double")
    toml = learner.course / "double" / "exercise.toml"
    toml.write_text("version = 2" + toml.read_text())
    said = " ".join(learner("check", None)[1].split())
    assert "begun from another version of the exercise (1, now 2)" in said


def test_the_course_is_remembered_and_missed_when_it_goes(learner, tmp_path):
    learner("start", "double")
    out = io.StringIO()
    Desk.open(learner.folder, None, out).show_list()
    assert "twice" in out.getvalue() and "softmax" not in out.getvalue()
    shutil.move(learner.course, tmp_path / "elsewhere")
    with pytest.raises(UserError, match="which is not there: name it with --course"):
        Desk.open(learner.folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_still_gets_a_verdict(learner):
    learner("start", "double")
    write(learner, RIGHT)
    learner.folder.chmod(0o555)
    try:
        status, said = learner("check", None)
    finally:
        learner.folder.chmod(0o755)
    assert status == 0 and "the progress is not kept" in said


def test_a_progress_that_cannot_be_kept_is_a_note(learner, monkeypatch):
    learner("start", "double")
    write(learner, RIGHT)

    def refuse(*_):
        raise OSError(30, "Read-only file system", "x")

    monkeypatch.setattr("os.replace", refuse)
    status, said = learner("check", None)
    assert status == 0 and "note: the progress is not kept" in said
    assert [each.name for each in learner.folder.iterdir() if each.name.startswith(FILE)] == [FILE]


# --- how far ----------------------------------------------------------------------------------------------------------


def test_progress_list_and_report_say_what_was_done(learner):
    learner("start", "double")
    write(learner, WRONG)
    learner("check", None)
    assert "fails at gradient" in learner("show_list")[1]
    assert "0 of 2 passed" in learner("show_progress")[1]
    write(learner, RIGHT)
    learner("check", None)
    learner("check", None)
    assert "1 of 2 passed  [##########..........]" in learner("show_progress")[1]
    assert "Next: 02 twice" in learner("show_progress")[1]
    report = json.loads(learner("report", as_json=True)[1])
    (done,) = report["exercises"]
    assert (report["passed"], report["of"], done["exercise"], done["attempts"]) == (1, 2, "double", 3)
    assert done["passed"] >= done["begun"] > 0


def test_a_report_of_nothing(learner):
    assert "Nothing is begun" in learner("report")[1]
    assert json.loads(learner("report", as_json=True)[1])["exercises"] == []


@pytest.mark.parametrize("width", [40, 80, 140])
def test_no_line_is_wider_than_the_terminal(learner, width):
    learner("start", "double")
    write(learner, WRONG)
    for action, arguments in (("check", [None]), ("show_list", []), ("show_progress", []), ("report", [])):
        lines = learner(action, *arguments, width=width)[1].splitlines()
        commands = [line for line in lines if line.startswith("  scratchlv exercise")]  # to be copied: never broken
        assert max(len(line) for line in lines if line not in commands) <= width, action


def test_two_checks_at_once_both_count(learner):
    learner("start", "double")
    write(learner, RIGHT)
    threads = [threading.Thread(target=learner, args=("check", None)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(learner.folder).of("double").attempts == 3
