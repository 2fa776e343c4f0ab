"""``benchmarks/comparing.py``: when two sides agree, and how figures are told."""

import numpy as np
import pytest


@pytest.fixture
def comparing(benchmarks):
    return benchmarks("comparing")


@pytest.fixture
def case(benchmarks):
    return benchmarks("table").all_cases()["lstm-lm"]


@pytest.fixture
def side(benchmarks):
    return benchmarks("case").Side("baseline", "torch", build=None)


@pytest.mark.parametrize("wrong", [1e-3, np.nan, np.inf])
def test_other_results_are_refused(comparing, case, side, wrong):
    ours = {"loss": np.array(2.0), "W": np.array([1.0, -3.0])}
    assert comparing.difference(case, side, ours, {"loss": np.array(2.0), "W": np.array([1.0, -3.00003])}) < 1e-4
    for name in ours:
        theirs = {key: value.copy() for key, value in ours.items()}
        theirs[name][..., None][0] += 3 * wrong
        with pytest.raises(comparing.Refused, match=name):
            comparing.difference(case, side, ours, theirs)


def test_where_relus_may_differ_the_norm_decides(comparing, benchmarks, side):
    case = benchmarks("table").all_cases()["finetune-resnet50"]
    ours = {"W": np.ones(100_000)}
    one, all_ = ours["W"].copy(), ours["W"] + 0.05
    one[7] = 1.5  # half of the largest number
    assert comparing.difference(case, side, ours, {"W": one}) < 0.01
    with pytest.raises(comparing.Refused, match="norm"):
        comparing.difference(case, side, ours, {"W": all_})


def test_missing_results_and_other_shapes_are_refused(comparing, case, side):
    ours = {"W": np.ones((2, 3))}
    with pytest.raises(comparing.Refused, match="b"):
        comparing.difference(case, side, ours, {**ours, "b": np.ones(3)})
    with pytest.raises(comparing.Refused, match="shape"):
        comparing.difference(case, side, ours, {"W": np.ones((3, 2))})
