"""Inputs for Hypothesis: of all sizes, of moderate numbers, and shrinking to the smallest."""

import builtins

import numpy as np
import pytest

from scratchlv.errors import UserError
from scratchlv.gradcheck import assert_gradients, strategies

from .operations import linear


def without_hypothesis(monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name.startswith("hypothesis"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)


def test_without_hypothesis_it_is_said_how_to_get_it(monkeypatch):
    without_hypothesis(monkeypatch)
    with pytest.raises(UserError, match="which is not installed: pip install hypothesis"):
        strategies.inputs("x: (N, D)")


@pytest.fixture
def hypothesis():
    return pytest.importorskip("hypothesis", reason="Hypothesis is not installed (extra: test)")


def examples(hypothesis, strategy, n=100):
    found = []

    @hypothesis.settings(max_examples=n, database=None, derandomize=True)
    @hypothesis.given(strategy)
    def collect(inputs):
        found.append(inputs)

    collect()
    return found


def test_sizes_and_numbers_vary(hypothesis):
    found = examples(hypothesis, strategies.inputs("x: (N, D), y: (N,) int < C, W: (D, 2H)", {"C": 4}))
    assert {each["x"].shape[0] for each in found} == {1, 2, 3, 4, 5, 6}
    assert {int(n) for each in found for n in each["y"]} == {0, 1, 2, 3}
    assert all(each["x"].shape[1] == each["W"].shape[0] and each["W"].shape[1] % 2 == 0 for each in found)
    assert all(each["x"].dtype == np.float64 and np.abs(each["x"]).max() < 10 for each in found)


def test_a_bug_of_large_sizes_is_found_and_shrinks(hypothesis):
    smallest = hypothesis.find(
        strategies.inputs("x: (N, D)"),
        lambda inputs: len(inputs["x"]) > 2,
        settings=hypothesis.settings(database=None, derandomize=True),
    )
    assert smallest["x"].shape == (3, 1)


def test_in_a_test_of_gradients(hypothesis):
    @hypothesis.settings(
        max_examples=20, database=None, deadline=None, derandomize=True, phases=[hypothesis.Phase.generate]
    )
    @hypothesis.given(strategies.inputs("x: (N, D), W: (D, H)", largest=3))
    def check(factor, inputs):
        assert_gradients(
            linear, lambda dy, cache: (dy @ cache[1].T, factor(cache[0]) * cache[0].T @ dy), inputs, repair=False
        )

    check(lambda x: 1)
    with pytest.raises(AssertionError, match="dW: error"):
        check(lambda x: 2 if len(x) == 3 else 1)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["x (N)"], {}, "cannot be read"),
        (["x: (N,)", {"M": 3}], {}, r"sizes names M; 'x: \(N,\)' has N"),
        (["x: (N,)"], {"largest": 0}, "largest is 0: give a size of 1 or more"),
    ],
)
def test_mistakes_are_one_sentence(hypothesis, arguments, options, message):
    with pytest.raises(UserError, match=message):
        strategies.inputs(*arguments, **options)
