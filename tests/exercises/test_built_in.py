"""The built-in course: every exercise is whole and right. The slow part proves each of them, as ``dev check`` does."""

import ast

import pytest

from scratchlv.exercises import proof, truth
from scratchlv.exercises.authoring import Call, Pair
from scratchlv.exercises.course import open_course

COURSE = open_course()
each_exercise = pytest.mark.parametrize("exercise", list(COURSE), ids=lambda each: each.name)


def test_there_are_as_many_as_the_course_promises():
    kernels = [each for each in COURSE if each.kind in proof.SLOW]
    assert len(COURSE) - len(kernels) >= 32 and len(kernels) >= 10
    assert [each.order for each in COURSE] == list(range(1, len(COURSE) + 1))


@each_exercise
def test_its_texts_are_there_and_what_it_needs_comes_before(exercise):
    assert [found for found in proof._texts(exercise, COURSE) if found] == []


@each_exercise
def test_its_stub_is_valid_and_every_mistake_can_be_planted(exercise):
    if exercise.suffix == ".py":
        ast.parse(exercise.stub)
    assert exercise.stub.startswith(exercise.mark) and "<solution>" not in exercise.stub
    planted = {mistake.planted(exercise.solution) for mistake in exercise.mistakes}
    assert len(planted) == len(exercise.mistakes) >= 3 and exercise.solution not in planted


@each_exercise
def test_its_example_is_right(exercise):
    assert [found for found in proof._doctests(exercise, COURSE) if found] == []


@each_exercise
def test_its_cases_are_made_for_any_seed_and_other_sizes(exercise):
    for seed in (0, 7):
        assert all(isinstance(case, Call | Pair) for case in exercise.cases(seed))
    assert [found for found in proof._other_sizes(exercise, COURSE) if found] == []


@pytest.mark.parametrize("exercise", [each for each in COURSE if each.kind == "numpy"], ids=lambda each: each.name)
def test_each_mistake_makes_a_difference_and_no_two_make_the_same(exercise):
    """In y or in the gradients of a case; where a mistake raises, it has none."""
    seen = {mistake.name: [] for mistake in exercise.mistakes}
    for case in truth.expected(exercise, 0):
        for name in seen:
            seen[name].append(repr(case.mistakes.get(name)))
    right = [repr((case.y, tuple(case.grads.values()) if case.grads else None)) for case in truth.expected(exercise, 0)]
    assert all(results != right for results in seen.values())
    different = {tuple(results) for results in seen.values()}
    assert len(different) == len(seen)


@pytest.mark.slow
@each_exercise
def test_it_is_proved(exercise, monkeypatch):
    """Of kernels, which are compiled each time, with three of the mistakes; ``dev check --all`` has all of them."""
    if exercise.kind in proof.SLOW:
        monkeypatch.setitem(vars(exercise), "mistakes", exercise.mistakes[:3])
    assert proof.prove_one(exercise, COURSE).wrong == []
