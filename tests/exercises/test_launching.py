"""launch.py: the author's functions around the learner's; and what Numba says, in a sentence."""

import pytest
from numba import njit
from numba.core.errors import NumbaError

from scratchlv.exercises import launching
from scratchlv.exercises.launching import Functions, KernelError

LAUNCH = """
from math import sqrt


def root(learner, x):
    return _again(learner.own(sqrt(x)))


def other(learner):
    return learner.missing


def refused(learner):
    learner.refuse("it is too slow", line=3, stage="speed")


def _again(x):
    return x
"""


@pytest.fixture
def functions(tmp_path):
    (tmp_path / "launch.py").write_text(LAUNCH, "utf-8")
    return launching.functions(tmp_path / "launch.py", Functions({"own": lambda x: x + 1}))


def test_they_are_those_without_underscore_and_get_the_learners(functions):
    assert set(functions) == {"root", "other", "refused"}
    assert functions["root"](9.0) == 4.0


def test_a_name_that_is_gone_is_told(functions):
    with pytest.raises(KernelError, match="there is no missing in the file"):
        functions["other"]()


def test_refusing_carries_line_and_stage(functions):
    with pytest.raises(KernelError) as caught:
        functions["refused"]()
    assert (caught.value.sentence, caught.value.line, caught.value.stage) == ("it is too slow", 3, "speed")


def test_a_launcher_that_calls_a_learners_function_of_its_own_name(tmp_path):
    (tmp_path / "launch.py").write_text("def f(learner, x):\n    return learner.f(x) + 1\n", "utf-8")
    own = {"f": lambda x: 10 * x}
    own |= launching.functions(tmp_path / "launch.py", Functions(own))
    assert own["f"](2) == 21


def _unknown_name(x):
    return x + there_is_no_such  # noqa: F821


def _no_such_method(x):
    return x.no_such()


def _unequal_types(x):
    return 1.0 if x > 0 else "text"


@pytest.mark.parametrize(
    ("function", "word"), [(_unknown_name, "there_is_no_such"), (_no_such_method, "no_such"), (_unequal_types, "unify")]
)
def test_numbas_message_becomes_a_sentence_with_the_line(function, word):
    with pytest.raises(NumbaError) as caught:
        njit(function)(1.0)
    sentence, line = launching.of_numba(str(caught.value), __file__)
    assert sentence.startswith("Numba cannot compile it: ")
    assert word in sentence
    assert "\n" not in sentence and "nopython" not in sentence
    first = function.__code__.co_firstlineno
    assert line in (first, first + 1) or word == "there_is_no_such"  # of which Numba says no line
