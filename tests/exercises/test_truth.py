"""What should come: the solution's results, by input, and what known mistakes make of them."""

import numpy as np
import pytest

from scratchlv.exercises import truth
from scratchlv.exercises.wire import Source
from tests.exercises import examples


@pytest.fixture
def exercise(tmp_path):
    return examples.make(tmp_path)


def test_each_case_has_its_results_and_those_of_the_mistakes(exercise):
    first, second = truth.expected(exercise, 0)
    assert (
        first.y.tolist() == [[8.0]] and first.functions == ("forward", "backward") and list(first.grads) == ["x", "w"]
    )
    assert (
        first.grads["x"].tolist() == (12 * first.dy).tolist()
        and first.grads["w"].tolist() == (8 * first.dy)[0].tolist()
    )
    assert set(second.mistakes) == {"no_cube", "no_factor", "mean"} and second.case == "random numbers"
    x, w = second.inputs["x"], second.inputs["w"]
    assert np.allclose(second.mistakes["no_cube"][0], (w * x) ** 3)
    assert np.allclose(second.mistakes["no_factor"][1][0], second.grads["x"] / 3)


def test_seeds_give_other_numbers_and_the_same_seed_the_same(exercise):
    (_, a), (_, b), (_, c) = (list(truth.expected(exercise, seed)) for seed in (0, 0, 1))
    assert np.array_equal(a.inputs["x"], b.inputs["x"]) and np.array_equal(a.dy, b.dy)
    assert not np.allclose(a.inputs["x"], c.inputs["x"]) and not np.allclose(a.dy, c.dy)
    assert not np.allclose(a.dy.ravel()[:5], a.inputs["x"].ravel()[:5])


def test_inputs_are_the_cases_own_though_the_solution_spoils_them(tmp_path):
    solution = examples.SOLUTION.replace("    y = w * x**3\n", "    y = w * x**3\n    x += 1\n")
    first, _ = truth.expected(examples.make(tmp_path, solution=solution), 0)
    assert first.inputs["x"].tolist() == [[2.0]]


def test_a_mistake_that_raises_is_left_out(tmp_path):
    raising = {"raises": "stage: start\nsays: it raises\n\n-    y = w * x**3\n+    y = 1 / 0\n"}
    raising["late"] = "stage: gradient\nsays: it raises\n\n-    x, w = cache\n+    x, w, z = cache\n"
    first, _ = truth.expected(examples.make(tmp_path, mistakes=raising), 0)
    assert list(first.mistakes) == ["late"] and first.mistakes["late"][1] is None


def test_a_call_is_compared_with_what_the_author_says_or_with_the_solution(tmp_path):
    cases = "from scratchlv.exercises import call, source\ndef cases(rng, N, D):\n"
    cases += "    yield call('forward', expect=5, x=1.0, w=2.0)\n    yield call('forward', x=2.0, w=1.0)\n"
    cases += "    yield call('apply', f=source('lambda x: np.exp(x) + math.pi'), x=0.0)\n"
    solution = examples.SOLUTION + "\n\ndef apply(f, x):\n    return f(x)\n"
    said, computed, applied = truth.expected(examples.make(tmp_path, cases=cases, solution=solution), 0)
    assert said.y == 5 and said.mistakes == {} and computed.y[0] == 8.0
    assert applied.y == 1 + np.pi and isinstance(applied.inputs["f"], Source)


def test_inputs_that_have_a_gradient_are_of_floating_point_and_not_fixed():
    inputs = {
        "x": np.ones(2),
        "i": np.ones(2, int),
        "m": np.ones(2),
        "n": 3.0,
        "p": {"W": np.ones(2)},
        "l": [np.ones(2)],
        "t": [1],
    }
    assert truth.differentiable(inputs, ("m",)) == ["x", "p", "l"]


@pytest.mark.parametrize(
    ("grads", "by_name"),
    [
        ((1, 2), {"x": 1, "w": 2}),
        ([1, 2], {"x": 1, "w": 2}),
        ({"dw": 2, "dx": 1}, {"x": 1, "w": 2}),
        ({"w": 2, "x": 1}, {"x": 1, "w": 2}),
        ((1, None), {"x": 1, "w": None}),
        ((1,), None),
        ((1, 2, 3), None),
        (None, None),
        ({"dx": 1}, None),
        ({"dx": 1, "dz": 2}, None),
    ],
)
def test_gradients_are_put_by_the_names_of_the_inputs(grads, by_name):
    assert truth.by_name(grads, ["x", "w"]) == by_name


def test_of_one_input_the_gradient_may_come_by_itself():
    x = np.ones(3)
    assert truth.by_name(x, ["x"])["x"] is x and truth.by_name((x,), ["x"])["x"] is x
    assert truth.by_name({"W": x}, ["p"]) == {"p": {"W": x}}


def test_an_output_gradient_is_like_the_output():
    rng = np.random.default_rng(0)
    made = truth.like(
        {"y": np.ones((2, 3), "f4"), "loss": 3.0, "i": np.arange(3), "n": None, "t": (np.ones(()), [np.ones(2)])}, rng
    )
    assert made["y"].shape == (2, 3) and made["y"].dtype == np.float32
    assert 0.5 < made["loss"] < 1.5 and made["i"] is None and made["n"] is None
    assert 0.5 < made["t"][0] < 1.5 and isinstance(made["t"], tuple) and made["t"][1][0].shape == (2,)


def test_several_results_have_the_names_that_the_solution_gives_them(tmp_path):
    solution = examples.SOLUTION.replace("return y, (x, w)", "h, c = y, y\n    return (h, c), (x, w)")
    exercise = examples.make(tmp_path, solution=solution)
    assert truth.returned(exercise, "forward", pair=True) == ("h", "c")
    assert truth.returned(exercise, "backward", pair=False) == ("dx", "dw")
    assert truth.returned(exercise, "not there", pair=False) == ()
