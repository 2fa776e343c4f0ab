"""The suite of planted bugs is sound, and a spread of it is caught; all of it is slow: ``run.py`` tells more."""

import numpy as np
import pytest

from . import cases, kinds, plant, run

BUGS = plant.bugs()
SPREAD = BUGS[:: len(BUGS) // 25]
CASES = list(cases.cases())


def test_every_bug_applies_once_and_has_a_known_kind():
    for bug in BUGS:
        assert plant.planted(bug) != plant.source(bug.operation)
        assert plant.lines(bug)
        assert all(kind in kinds.KINDS for kind in bug.kinds), str(bug)
    assert len({str(bug) for bug in BUGS}) == len(BUGS) >= 250


def test_every_kind_is_planted_in_several_operations():
    for kind in kinds.KINDS:
        assert len({bug.operation for bug in BUGS if kind in bug.kinds}) >= 3, kind


def test_the_spread_is_over_all_styles():
    assert {plant.style(bug.operation) for bug in SPREAD} == {"functions", "class", "closure"}


@pytest.mark.parametrize("operation", plant.OPERATIONS)
def test_the_operation_is_right(operation):
    with plant.imported(operation, plant.source(operation)) as module:
        assert plant.error(module, module.make_inputs()) < 1e-6


@pytest.mark.parametrize("bug", SPREAD, ids=str)
def test_a_bug_makes_a_gradient_wrong(bug):
    with plant.imported(bug.operation, plant.planted(bug)) as module:
        assert plant.error(module, module.make_inputs()) > 1e-5


@pytest.mark.slow
def test_every_bug_makes_a_gradient_wrong():
    assert run.verify(BUGS) == []


def found_in(bugs, remake=True):
    return run.gathered([(run.examine, (bug, remake)) for bug in bugs])


def not_found(bugs, results):
    return [run.tell(bug, True, found) for bug, found in zip(bugs, results, strict=True) if not run.helps(found)]


def test_some_bugs_are_caught_and_named_or_placed():
    some = SPREAD[::24]
    assert not_found(some, found_in(some)) == []


def accused(right):
    results = run.gathered([(run.examine_right, (case, True)) for case in right])
    return [
        f"{case}: {found.get('text') or found['crash']}"
        for case, found in zip(right, results, strict=True)
        if found.get("verdict") not in ("right", "not checked", "no case")
    ]


def test_a_spread_of_right_operations_is_not_accused():
    assert accused(CASES[:: len(CASES) // 40]) == []


@pytest.mark.slow
def test_no_right_operation_is_accused():
    """Of all of them run.py tells; here every fourth."""
    assert len(CASES) >= 1000
    assert accused(CASES[::4]) == []


@pytest.mark.slow
def test_bugs_are_caught_and_named_or_placed():
    """Of all of them run.py tells; here every fortieth, as a beginner calls the checker."""
    bugs = BUGS[::40]
    results = found_in(bugs, remake=False)
    assert [str(bug) for bug, found in zip(bugs, results, strict=True) if not found.get("caught")] == []
    assert np.mean([run.helps(found) for found in results]) >= 0.85


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("line 12: W for W.T", {12}),
        ("lines 3, 4 and 7 of f.py", {3, 4, 7}),
        ("lines 3-5", {3, 4, 5}),
        ("at lstm.py:41 dh is dropped, 7 times", {41}),
        ("dx is 12 times what it should be", set()),
    ],
)
def test_numbers_of_lines(text, lines):
    assert kinds.numbers(text) == lines


def test_the_lines_of_an_edit():
    bug = next(bug for bug in BUGS if str(bug) == "linear: dx with the wrong sign")
    assert [plant.planted(bug).splitlines()[line - 1].strip() for line in plant.lines(bug)] == ["dx = -dout.dot(W.T)"]
