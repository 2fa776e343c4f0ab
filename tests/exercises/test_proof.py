"""The proof of an exercise: sound ones are right, and each defect is found, by the trial that looks for it."""

import pytest

from scratchlv.exercises import proof
from scratchlv.exercises.course import Course
from scratchlv.exercises.proof import prove_one
from tests.exercises import examples
from tests.exercises.examples import CASES, MISTAKES, SOLUTION, TOML


@pytest.fixture
def wrong(tmp_path):
    """What a trial finds wrong with the exercise, changed."""

    def found(trial, *others, **changed):
        exercise = examples.make(tmp_path, **changed)
        return [each for each in trial(exercise, Course((*others, exercise))) if each]

    return found


def test_a_sound_exercise_is_right(tmp_path):
    exercise = examples.make(tmp_path)
    found = prove_one(exercise, Course((exercise,)))
    assert found.ok and found.wrong == [] and found.tried > 15 and found.name == "cubes"


def test_a_defect_that_stops_a_trial_is_told_and_the_others_go_on(tmp_path):
    exercise = examples.make(tmp_path, cases="1 / 0", mistakes={}, toml=TOML.replace('"Look at x.", ', ""))
    found = prove_one(exercise, Course((exercise,))).wrong
    assert any("cases.py cannot be run: ZeroDivisionError" in each for each in found)
    assert any("2 hints" in each for each in found) and any("0 mistakes" in each for each in found)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('"Look at x.", ', ""), "it has 2 hints, and should have 3: the last is the derivation"),
        (('"Look at x."', '" "'), "it has 3 hints, and should have 3"),
        (("N = 3", "N = 5"), "two of its sizes are equal: a wrong axis would not show"),
        (("minutes = 5", 'needs = ["softmax"]'), "it needs softmax, which does not come before it"),
        (("minutes = 5", 'needs = ["cubes"]'), "it needs cubes, which does not come before it"),
        (("minutes = 5", 'real = ["kernels/none.py"]'), "real names kernels/none.py, and there is no such file"),
    ],
)
def test_what_its_texts_promise_is_looked_at(wrong, change, sentence):
    found = wrong(proof._texts, toml=TOML.replace(*change))
    assert len(found) == 1 and found[0].startswith(sentence)


def test_two_exercises_of_one_order_are_told(wrong, tmp_path):
    other = examples.read(examples.write(tmp_path / "other"))
    assert wrong(proof._texts, other) == ["other has the same order, 1"]


def test_the_example_in_its_docstring_is_run(wrong):
    found = wrong(proof._doctests, solution=SOLUTION.replace("[8.0]", "[9.0]"))
    assert len(found) == 1 and "the example in its docstring is wrong" in found[0] and "8.0" in found[0]


def test_a_docstring_without_an_example_is_told(wrong):
    assert wrong(proof._doctests, solution=SOLUTION.replace(">>>", "")) == [
        "its docstring has no worked example (>>> …)"
    ]


def test_a_solution_that_fails_or_prints_is_told(wrong, tmp_path):
    found = wrong(proof._solution, solution=SOLUTION.replace("y = w * x**3", "print('here')\n    y = w * x**3; x += 1"))
    assert (
        found[0].startswith("its solution fails: forward changes its inputs")
        and found[1] == "its solution prints: here"
    )


def test_a_gradient_that_is_wrong_in_the_solution_itself_is_told(wrong):
    found = wrong(proof._gradients, solution=SOLUTION.replace("3 * w * x**2 * dy", "2 * w * x**2 * dy"))
    assert found and all(each.startswith("its solution's gradient is wrong: WRONG dx") for each in found)


def test_cases_that_take_no_other_sizes_are_told(wrong):
    fixed = CASES.replace("rng.standard_normal((N, D))", "rng.standard_normal((3, 5)) + np.zeros((N, D))")
    (found,) = wrong(proof._other_sizes, cases=fixed)
    assert found.startswith("its cases do not take other sizes ({'N': 4, 'D': 6}): ValueError")


def test_no_case_is_told(wrong):
    none = "def cases(rng, N, D):\n    return []\n"
    assert wrong(proof._other_sizes, cases=none) == ["it has no case with the sizes {'N': 4, 'D': 6}"]


def test_a_stub_that_passes_or_fails_oddly_is_told(wrong, tmp_path, monkeypatch):
    whole = SOLUTION.replace("    y = w * x**3\n", "    # <stub>\n    # pass\n    # </solution>\n    y = w * x**3\n", 1)
    whole = SOLUTION.replace(
        "    # </solution>\n\n\ndef backward",
        "    # <stub>\n    # y = w * x**3\n    # return y, (x, w)\n    # </solution>\n\n\ndef backward",
    )
    second = (
        "    # <stub>\n    # x, w = cache\n    # return 3 * w * x**2 * dy, (x**3 * dy).sum(axis=0)\n    # </solution>\n"
    )
    both = whole[: whole.rindex("    # </solution>\n")] + second
    assert wrong(proof._stub, solution=both) == ["its stub passes"]


def test_a_stub_that_raises_another_error_first_is_told(wrong):
    odd = SOLUTION.replace(
        "import numpy as np\n", "import numpy as np\n# <solution>\n# <stub>\n# 1 / 0\n# </solution>\n"
    )
    (found,) = wrong(proof._stub, solution=odd)
    assert found.startswith("its stub fails with another message than its first: the file raises ZeroDivisionError")


def test_too_few_mistakes_are_told(wrong):
    assert wrong(proof._mistakes, mistakes={"mean": MISTAKES["mean"]}) == ["it has 1 mistakes, and should have 3"]


def test_a_mistake_that_passes_or_fails_elsewhere_is_told(wrong):
    changed = {
        "harmless": MISTAKES["no_factor"].replace("+    dx = w *", "+    dx = w * 3 *"),
        "elsewhere": MISTAKES["no_factor"].replace("stage: gradient", "stage: value"),
        "mean": MISTAKES["mean"],
    }
    elsewhere, harmless = wrong(proof._mistakes, mistakes=changed)
    assert elsewhere.startswith(
        "mistakes/elsewhere.patch fails at the stage gradient, and should at value: dx is wrong"
    )
    assert harmless == "mistakes/harmless.patch passes"


def test_mistakes_that_cannot_be_told_apart_are_told(wrong):
    same = {
        name: MISTAKES["no_factor"].replace("the 3 is missing", f"it is {name}") for name in ("one", "two", "three")
    }
    found = wrong(proof._mistakes, mistakes=same)
    assert len(found) == 3 and all("does not get its diagnosis, but: dx is wrong everywhere" in each for each in found)


def test_a_mistake_whose_lines_are_gone_is_told(tmp_path):
    gone = {**MISTAKES, "gone": "stage: value\nsays: it\n\n-    z = 3\n+    z = 4\n"}
    exercise = examples.make(tmp_path, mistakes=gone)
    assert "mistakes/gone.patch: `z = 3` is not in the solution" in prove_one(exercise, Course((exercise,))).wrong
