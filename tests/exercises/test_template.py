"""The folder of a new exercise proves itself, and spoils nothing."""

import pytest

from scratchlv.errors import UserError
from scratchlv.exercises import template
from scratchlv.exercises.course import open_course
from scratchlv.exercises.proof import prove_one


def test_a_new_exercise_keeps_all_that_an_exercise_promises(small_course):
    proof = prove_one(small_course.find("near"), small_course)
    assert not proof.wrong
    assert proof.tried > 10


def test_a_new_exercise_comes_after_those_that_are_there(small_course):
    assert [each.order for each in small_course] == [1, 2]
    assert [each.file_name for each in small_course] == ["01_near.py", "02_far.py"]


@pytest.mark.parametrize("name", ["", "3d", "layer-norm", "../up", "class", "größe", "a b"])
def test_a_name_that_python_would_not_take_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="cannot be an exercise's name"):
        template.make(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="mine is there already"):
        template.make("mine", tmp_path)
    assert not list((tmp_path / "mine").iterdir())


def test_the_course_is_made_where_there_is_none(tmp_path):
    template.make("mine", tmp_path / "new" / "course")
    assert [each.name for each in open_course(tmp_path / "new" / "course")] == ["mine"]
    assert sorted(path.name for path in (tmp_path / "new" / "course").iterdir()) == ["mine"]
