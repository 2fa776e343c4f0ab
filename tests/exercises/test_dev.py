"""What teachers run: new, check, export, grade, as commands."""

import csv
import os

import pytest

from scratchlv.cli import main
from scratchlv.exercises import dev
from scratchlv.exercises.course import open_course


@pytest.fixture
def command(course_folder, capsys):
    """``scratchlv exercise dev`` with a course: its status, what it printed, and its errors."""

    def run(*words, course=course_folder):
        status = main(["exercise", "dev", *map(str, words), *(["--course", str(course)] if course else [])])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_a_course_is_made_proved_handed_out_solved_and_graded(command, tmp_path, capsys):
    status, out, _ = command("new", "third", "--out", tmp_path / "course", course=None)
    assert status == 0 and f"scratchlv exercise dev check third --course {tmp_path / 'course'}" in out
    status, out, _ = command("check", "third")
    assert status == 0 and "1 right, 0 WRONG" in out
    status, out, _ = command("export", "--out", tmp_path / "course.zip")
    assert status == 0 and "3 exercises without solutions, 0.0 MB" in out

    work, zipped = tmp_path / "class" / "ada", ["--course", str(tmp_path / "course.zip"), "--folder"]
    work.mkdir(parents=True)
    assert main(["exercise", "start", "third", *zipped, str(work)]) == 0
    assert main(["exercise", "check", *zipped, str(work)]) == 1
    (work / "03_third.py").write_text(open_course(tmp_path / "course").find("third").solution)
    assert main(["exercise", "check", *zipped, str(work)]) == 0
    assert main(["exercise", "solution", *zipped, str(work)]) == 2
    assert "the teacher has it" in capsys.readouterr().err

    status, out, err = command("grade", work.parent, "--csv", tmp_path / "marks.csv", "--jobs", 1)
    assert status == 0 and "1 of 1 student graded" in out
    assert "class holds 1 folder: each is taken for a student's" in err and "bubblewrap" in err
    with (tmp_path / "marks.csv").open(encoding="utf-8-sig", newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["student"], line["passed"], line["of"], line["03 third"]) == ("ada", "1", "3", "passed")


def test_exercises_that_are_needed_and_not_handed_out_are_named(command, tmp_path):
    status, out, _ = command("export", "far", "--out", tmp_path / "far.zip")
    assert status == 0 and "note: far needs near, which is not in it" in out
    assert [each.name for each in open_course(tmp_path / "far.zip")] == ["far"]


def test_exercises_are_handed_out_in_their_order_and_once(command, tmp_path):
    status, out, _ = command("export", "far", "1", "near", "--out", tmp_path / "both.zip")
    assert status == 0 and "note" not in out
    assert (
        f"scratchlv exercise start near --course {tmp_path.name}" not in out and "start near --course both.zip" in out
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "nearr", "--out", "x.zip"], "there is no exercise 'nearr'; the nearest are near"),
        (["export", "--out", "x.tar"], "--out x.tar: the course is a zip; call it x.zip"),
        (["export", "--out", "gone/x.zip"], "No such file or directory"),
        (["grade", "gone"], "gone: there is no such folder"),
        (["grade", ".", "--only", "farr"], "there is no exercise 'farr'; the nearest are far"),
        (["grade", ".", "--csv", "."], "--csv . is a folder"),
        (["grade", ".", "--csv", "gone/x.csv"], "No such file or directory"),
        (["grade", ".", "--jobs", "-1"], "--jobs -1: give 1 or more"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(command, tmp_path, monkeypatch, words, sentence):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    status, _, err = command(*words)
    assert status == 2 and sentence in err and err.count("scratchlv: ") == 1
    assert not list((tmp_path / "empty").iterdir())


def test_what_has_been_exported_is_neither_proved_nor_exported(command, tmp_path):
    command("export", "--out", tmp_path / "course.zip")
    for words in (["check"], ["export", "--out", tmp_path / "again.zip"]):
        status, _, err = command(*words, course=tmp_path / "course.zip")
        assert status == 2 and "has been exported, without solutions" in err


def test_what_has_been_exported_grades_a_class(command, tmp_path, small_course):
    command("export", "--out", tmp_path / "course.zip")
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "01_near.py").write_text(small_course.find("near").solution)
    status, out, _ = command("grade", tmp_path / "ada", course=tmp_path / "course.zip")
    assert status == 0 and "ada       1/2     +." in out


def test_ctrl_c_leaves_the_rows_so_far_in_the_csv(command, tmp_path, monkeypatch):
    for name in ("ada", "bob"):
        (tmp_path / "class" / name).mkdir(parents=True)

    class Interrupted(dev.Marking):
        def rows(self):
            yield next(super().rows())
            raise KeyboardInterrupt

    monkeypatch.setattr(dev, "Marking", Interrupted)
    status, out, err = command("grade", tmp_path / "class", "--csv", tmp_path / "marks.csv")
    assert status == 130 and "1 of 2 students graded" in out and "interrupted" in err
    assert len((tmp_path / "marks.csv").read_text("utf-8-sig").splitlines()) == 2


def test_where_bubblewrap_is_not_the_teacher_is_told_what_that_means(command, tmp_path, monkeypatch):
    monkeypatch.setattr(dev, "bubblewrap", lambda: ())
    (tmp_path / "ada").mkdir()
    assert "no determined attacker" in command("grade", tmp_path / "ada")[2]


def test_what_others_have_handed_in_is_hidden(command, tmp_path, small_course, monkeypatch):
    monkeypatch.setattr(dev, "bubblewrap", lambda: ())
    ada = tmp_path / "class" / "ada" / "01_near.py"
    thief = tmp_path / "class" / "thief" / "01_near.py"
    for path, text in ((ada, small_course.find("near").solution), (thief, f"exec(open({str(ada)!r}).read())\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    _, out, _ = command("grade", tmp_path / "class", "--only", "near")
    assert "ada       1/1     +" in out and "thief     0/1     l" in out


def test_an_author_can_solve_an_exercise_beside_its_folder(course_folder, small_course, monkeypatch):
    """Where the course's folder is hidden, the learner's own file in it is not."""
    monkeypatch.chdir(course_folder)
    assert main(["exercise", "start", "near", "--course", "."]) == 0
    (course_folder / "01_near.py").write_text(small_course.find("near").solution)
    assert main(["exercise", "check", "--course", "."]) == 0
    assert os.path.exists("01_near.py")
