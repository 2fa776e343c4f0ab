"""What a wrong result is put down to: a known mistake only where it makes the same numbers wherever it shows."""

import numpy as np
import pytest

from scratchlv.exercises.causes import NOT_ASKED, causes
from scratchlv.exercises.mistakes import Mistake
from scratchlv.exercises.process import Raised
from scratchlv.exercises.truth import Expected

X = np.arange(1.0, 7).reshape(2, 3)
DY = np.array([[1.0, 2, -1], [0.5, 3, 1]])


def case(x, **mistakes):
    """y = x², dx = 2 x dy, of numbers x; a mistake is a pair of functions of x."""
    x = np.asarray(x, float)
    dy = DY[: len(x), : x.shape[1]]
    made = {name: (forward(x), backward(x, dy)) for name, (forward, backward) in mistakes.items()}
    return Expected(("forward", "backward"), {"x": x}, "", x**2, dy=dy, grads={"x": 2 * x * dy}, mistakes=made)


class Exercise:
    kind, tolerance, sizes = "numpy", 1e-10, {"N": 2, "D": 3}

    def __init__(self, *names):
        self.mistakes = [Mistake(name, "gradient", f"this is {name}") for name in names]


class Process:
    """A learner's functions, in this process."""

    def __init__(self, forward, backward):
        self.functions = {"forward": forward, "backward": backward}

    def ask(self, do, function, inputs=None, keep=False, dy=None):
        if do == "call":
            self.x = inputs[0]
            return {"result": self.functions[function](self.x), "changed": False}
        return {"result": self.functions[function](self.x, dy), "changed": False}


@pytest.fixture
def told(monkeypatch):
    """What is said of a learner's functions, whose first failing case is ``here``; ``elsewhere`` are other cases."""

    def tell(here, elsewhere, forward, backward, *names, stage="gradient", grads=None):
        monkeypatch.setattr("scratchlv.exercises.truth.expected", lambda exercise, seed: iter(elsewhere))
        x = here.inputs["x"]
        came = NOT_ASKED if stage != "gradient" else backward(x, here.dy) if grads is None else grads
        return causes(Process(forward, backward), Exercise(*names), here, stage, forward(x), came)

    return tell


def square(x):
    return x**2


NO_TWO = (square, lambda x, dy: x * dy)
NO_DY = (square, lambda x, dy: 2 * x)
NO_X = (square, lambda x, dy: 2 * dy)


def test_a_mistake_that_makes_the_same_numbers_everywhere_is_told(told):
    cases = [case(X, no_two=NO_TWO, no_dy=NO_DY) for _ in range(2)]
    assert told(cases[0], cases[1:], *NO_TWO, "no_two", "no_dy") == (("this is no_two",), "no_two")


def test_a_mistake_that_makes_other_numbers_elsewhere_is_not_told(told):
    """Of x = 1, 2 · dy is what x · dy · 2 … is not; the learner's 2 (2 − x) dy and no_x agree at x = 1 alone."""
    tiny, large = case([[2.0]], no_x=NO_X), case(X, no_x=NO_X)
    backward = lambda x, dy: x * dy  # noqa: E731  at x = 2 that is 2 dy
    assert told(tiny, [large], square, backward, "no_x") == ((), "")
    assert told(tiny, [], square, backward, "no_x") == (("this is no_x",), "no_x")


def test_two_that_cannot_be_told_apart_are_both_said(told):
    here = case(X, first=NO_TWO, second=NO_TWO)
    assert told(here, [here], *NO_TWO, "first", "second") == (("either: this is first", "or: this is second"), "")


def test_a_mistake_that_does_not_show_here_is_not_told(told):
    hidden = (square, lambda x, dy: 2 * x * dy)
    nearly = lambda x, dy: 2 * x * dy * (1 + 5e-10)  # noqa: E731
    (sentence,), name = told(case(X, hidden=hidden), [], square, nearly, "hidden")
    assert "numerical slope" in sentence and name == ""


def test_a_forgotten_return_is_told(told):
    (sentence,), _ = told(case(X, no_two=NO_TWO), [], square, lambda x, dy: None, "no_two")
    assert sentence == "backward returns None: is a return missing?"


def test_where_forward_is_wrong_the_backward_pass_is_no_sign(told):
    cubed = (lambda x: x**3, lambda x, dy: 3 * x**2 * dy)
    here = case(X, cubed=cubed)
    said = told(here, [here], cubed[0], lambda x, dy: 77 * dy, "cubed", stage="value")
    assert said == (("this is cubed",), "cubed")


def test_functions_that_raise_elsewhere_do_not_hinder(told):
    here = case(X, no_two=NO_TWO)

    def backward(x, dy):
        if x.shape == (1, 1):
            raise Raised("ValueError", "no")
        return x * dy

    assert told(here, [case([[2.0]], no_two=NO_TWO)], square, backward, "no_two")[1] == "no_two"


def test_a_relation_has_to_hold_elsewhere_as_well(told):
    here = case(X)
    assert "3 times" in told(here, [here], lambda x: 3 * x**2, None, stage="value")[0][0]
    other = case(X + 0.5)
    assert told(here, [other], lambda x: (3 if x[0, 0] == 1 else 5 + x) * x**2, None, stage="value") == ((), "")


def test_of_a_wrong_dtype_it_is_said_where_float64_comes_from(told):
    (sentence,), _ = told(case(X), [], square, None, stage="dtype")
    assert "np.zeros" in sentence
