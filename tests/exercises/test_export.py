"""A course that is handed out holds no solution, and is checked as the whole one is."""

import shutil
import zipfile

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.exercises import compare, truth
from scratchlv.exercises.course import BUILT_IN, open_course
from scratchlv.exercises.export import contents, left_out, what_is_needed, write_zip
from scratchlv.exercises.grading import grade

GRADE = """

SECRET = "difference = x - t"
FORWARD = "forward"
TABLE = {}
TABLE["x"] = 3


def helper(learner):
    return learner.call(FORWARD, np.zeros((1, 2)), np.ones((1, 2)))[0]


@staticmethod
def of_the_cases():
    return SECRET


def grade(learner, rng, N, D):
    if helper(learner) != 2:
        learner.refuse("no 2")
    learner.refuse("its own check has run")
"""


@pytest.fixture
def handed_out(small_course, tmp_path):
    write_zip(list(small_course), tmp_path / "handed_out.zip")
    return open_course(tmp_path / "handed_out.zip")


def graded(exercise, text, folder):
    (folder / exercise.file_name).write_text(text, "utf-8")
    return grade(exercise, folder / exercise.file_name)


def test_it_expects_what_the_whole_course_expects(small_course, handed_out):
    whole, exported = small_course.find("near"), handed_out.find("near")
    assert exported.record is not None and whole.record is None
    assert exported.stub == whole.stub and exported.hints == whole.hints
    for seed in truth.SEEDS:
        for a, b in zip(truth.expected(whole, seed), truth.expected(exported, seed), strict=True):
            assert (a.functions, a.case, a.fixed, list(a.inputs)) == (b.functions, b.case, b.fixed, list(b.inputs))
            for x, y in ((a.inputs, b.inputs), (a.y, b.y), (a.dy, b.dy), (a.grads, b.grads), (a.mistakes, b.mistakes)):
                assert compare.same(x, y, 0)


def test_it_gives_the_same_verdicts(small_course, handed_out, tmp_path):
    whole, exported = small_course.find("near"), handed_out.find("near")
    assert graded(exported, whole.solution, tmp_path).passed
    assert graded(exported, exported.stub, tmp_path).sentence == "forward is yours to write"
    for mistake in whole.mistakes:
        a, b = (graded(each, mistake.planted(whole.solution), tmp_path) for each in (whole, exported))
        assert a.to_dict() | {"seconds": 0} == b.to_dict() | {"seconds": 0}
        assert b.diagnosis == (mistake.says,)


def test_the_teacher_keeps_the_solution(handed_out):
    with pytest.raises(UserError, match="near is not in this course: the teacher has it"):
        print(handed_out.find("near").solution)


def test_no_file_of_it_tells_the_solution(small_course, handed_out):
    exercise = small_course.find("near")
    written = set(exercise.solution.splitlines()) - set(exercise.stub.splitlines())
    assert len(written) > 4
    for path in handed_out.find("near").folder.iterdir():
        assert not [line for line in written if line.strip().encode() in path.read_bytes()]


def test_no_solution_of_the_built_in_course_is_handed_out():
    """Nor a mistake's patch, which holds parts of one."""
    for exercise in list(open_course())[:6]:
        files = contents(exercise)
        assert {"exercise.toml", "expected.bin", f"stub{exercise.suffix}"} <= files.keys()
        assert files.keys() <= {"exercise.toml", "expected.bin", f"stub{exercise.suffix}", "cases.py", "launch.py"}
        lines = {line.strip() for line in exercise.solution.splitlines()} - {
            line.strip() for line in exercise.stub.splitlines()
        }
        telling = [line.encode() for line in lines if len(line) > 30]
        for name, data in files.items():
            assert not [line for line in telling if line in data and name != "exercise.toml"], (exercise.name, name)


# --- an author's own check ---------------------------------------------------------------------------------------------


def test_an_authors_own_check_goes_along(course_folder, tmp_path):
    cases = course_folder / "near" / "cases.py"
    cases.write_text(cases.read_text("utf-8") + GRADE, "utf-8")
    course = open_course(course_folder)
    write_zip([course.find("near")], tmp_path / "course.zip")
    exported = open_course(tmp_path / "course.zip").find("near")
    verdict = graded(exported, course.find("near").solution, tmp_path)
    assert not verdict.passed and verdict.sentence == "its own check has run"
    assert "SECRET" not in (exported.folder / "cases.py").read_text("utf-8")


def test_of_an_authors_file_only_what_the_check_needs_is_kept():
    text = what_is_needed(
        "grade", '"""Doc."""\nfrom __future__ import annotations\nimport os\nimport numpy as np\n' + GRADE
    )
    assert "from __future__" in text and "import numpy" in text and "def helper" in text and "FORWARD =" in text
    assert 'TABLE["x"] = 3' in text and "TABLE = {}" in text
    assert (
        "import os" not in text and "SECRET" not in text and "of_the_cases" not in text and "staticmethod" not in text
    )
    assert "Doc." not in text


# --- exporting ---------------------------------------------------------------------------------------------------------


def test_the_same_course_is_the_same_zip(small_course, tmp_path):
    for name in ("a.zip", "b.zip"):
        write_zip(list(small_course), tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_solution_that_raises_is_told_and_nothing_is_written(course_folder, tmp_path):
    solution = course_folder / "near" / "solution.py"
    solution.write_text(solution.read_text("utf-8").replace("difference = x - t", "difference = x - gone"), "utf-8")
    with pytest.raises(UserError, match="solution of near raises NameError.*dev check near"):
        write_zip(list(open_course(course_folder)), tmp_path / "course.zip")
    assert not list(tmp_path.glob("*.zip*")) and not list(tmp_path.glob(".*zip*"))


def test_a_zip_that_could_not_be_written_leaves_nothing(small_course, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "course.zip")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        write_zip(list(small_course), tmp_path / "course.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course"]


def test_what_no_exercise_has_is_left_out_and_named(small_course):
    folder = small_course.find("near").folder
    (folder / "notes.md").write_text("the solution")
    (folder / ".DS_Store").write_text("")
    assert left_out(small_course.find("near")) == ["notes.md"]
    assert "notes.md" not in contents(small_course.find("near"))


# --- reading it ----------------------------------------------------------------------------------------------------------


def spoilt(path, name, data=None):
    """The zip with another file of this name; without data, without it."""
    with zipfile.ZipFile(path) as old:
        files = {each: old.read(each) for each in old.namelist() if each != name}
    with zipfile.ZipFile(path, "w") as new:
        for each, content in (files | ({name: data} if data is not None else {})).items():
            new.writestr(each, content)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("near/stub.py", b"import os\n", "near/stub.py is not what was exported"),
        ("near/expected.bin", None, "lacks near/expected.bin, which it was exported with"),
        ("near/solution.py", b"", "holds near/solution.py, which it was not exported with"),
        ("course.json", b"{", "its course.json is damaged"),
    ],
)
def test_a_course_that_was_changed_is_told(small_course, tmp_path, name, data, sentence):
    path = tmp_path / "course.zip"
    write_zip(list(small_course), path)
    spoilt(path, name, data)
    with pytest.raises(UserError, match=sentence):
        open_course(path)


def test_a_zip_with_a_bit_that_fell_over_is_told(small_course, tmp_path):
    path = tmp_path / "course.zip"
    write_zip(list(small_course), path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        open_course(path)


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_part_of_a_zip_is_told(small_course, tmp_path, share):
    path = tmp_path / "course.zip"
    write_zip(list(small_course), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="is no zip, or a part of one: get it again"):
        open_course(path)


def test_a_zip_of_something_else_is_no_course(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("a/b.txt", "b")
    with pytest.raises(UserError, match="holds no exercise"):
        open_course(tmp_path / "other.zip")


def test_a_folder_that_a_teacher_zips_by_hand_is_a_course(course_folder, tmp_path):
    path = shutil.make_archive(str(tmp_path / "by_hand"), "zip", course_folder)
    assert [each.name for each in open_course(tmp_path / path)] == ["near", "far"]


def test_the_built_in_course_needs_no_random_state_of_its_own():
    """Two computations of what is expected are one, so that a course can be exported at all."""
    exercise = list(open_course(BUILT_IN))[2]
    first, second = (list(truth.expected(exercise, 0)) for _ in range(2))
    assert all(
        np.array_equal(a.inputs[name], b.inputs[name]) for a, b in zip(first, second, strict=True) for name in a.inputs
    )
