"""``assert_gradients``: it raises what the report says, also if nothing was checked."""

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.gradcheck import Gradient, Report, assert_gradients
from scratchlv.gradcheck.assertions import explain

from .operations import linear, normal

INPUTS = {"x": normal(3, 5), "W": normal(5, 2)}


def right(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy


def flipped(dy, cache):
    dx, dW = right(dy, cache)
    return dx, -dW


def test_right_gradients_pass_and_the_report_is_returned():
    report = assert_gradients(linear, right, INPUTS, subject="linear")
    assert str(report).startswith("linear: right")


def test_a_wrong_one_raises_the_report():
    with pytest.raises(AssertionError, match="(?s)^linear: WRONG.*dW: error 2.0e.00 .*-> .*consistent with"):
        assert_gradients(linear, flipped, INPUTS, subject="linear")


def test_what_could_not_be_checked_raises_too():
    with pytest.raises(AssertionError, match="(?s)^not checked.*every point lies on a kink"):
        assert_gradients(lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (x > 0), {"x": np.zeros(3)})


def test_options_are_those_of_check():
    with pytest.raises(UserError, match="fixed names 'm'"):
        assert_gradients(linear, right, INPUTS, fixed=["m"])


class Frame:
    f_globals = {}

    def __init__(self, **names):
        self.f_locals = names


def test_only_reports_that_the_statement_asks_are_added():
    wrong, other = Report("a", problems=["p"]), Report("b", problems=["q"])
    fine = Report("c", gradients=[Gradient("dx", 0.0, 1e-6)])
    error = AssertionError("assert False")
    explain(error, Frame(first=wrong, second=other, **{"@py_assert1": fine}), "assert first.ok")
    assert str(error) == "assert False\na: WRONG\n  p"
    explain(error, Frame(first=wrong), "assert first.ok")  # it is said already
    assert str(error).count("a: WRONG") == 1
    bare = AssertionError()
    explain(bare, Frame(**{"@py_assert3": other}), "assert check(f, b, x)")
    assert str(bare) == "b: WRONG\n  q"
