"""Where a slope is measured, and where none can be."""

import functools

import numpy as np
import pytest

from scratchlv.gradcheck import check as check_and_repair
from scratchlv.gradcheck.slopes import EPS, STEP, Line, Loss, measure

from .operations import linear, normal, wrong

check = functools.partial(check_and_repair, repair=False)  # the line is not what is tested here


def relu(x):
    return np.maximum(x, 0), x > 0


def test_a_kink_is_skipped_and_said():
    x = normal(3, 4)
    x[0, 1] = x[2, 2] = 0
    report = check(relu, lambda dy, positive: (dy * positive,), {"x": x})
    assert report.ok, str(report)
    assert report.gradients[0].kinks >= 2
    assert "the one-sided slopes differ" in str(report)


def test_a_kink_hides_no_bug_elsewhere():
    x = normal(3, 4)
    x[0, 1] = 0
    report = check(relu, lambda dy, positive: (dy * ~positive,), {"x": x})
    assert wrong(report) == {"dx"}


def test_a_check_with_nothing_but_kinks_does_not_pass():
    report = check(relu, lambda dy, positive: (dy * positive,), {"x": np.zeros((3, 4))})
    assert report.verdict == "not checked"
    assert "nothing was checked: choose other inputs" in str(report)


def test_strong_curvature_is_no_kink():
    """The one-sided slopes differ by 2 h / (x² …), yet a wrong gradient must not be excused."""
    report = check(lambda x: (np.exp(100 * x), x), lambda dy, x: (dy * np.exp(100 * x),), {"x": 0.1 * normal(3, 4)})
    assert wrong(report) == {"dx"}
    assert report.gradients[0].kinks == 0


def test_one_wrong_element_of_many_is_caught_along_random_directions():
    """The elements are sampled, but a direction moves them all."""

    def backward(dy, cache):
        x, W = cache
        dx = dy @ W.T
        dx.flat[1234] += 1
        return dx, x.T @ dy

    report = check(linear, backward, {"x": normal(50, 40), "W": normal(40, 3)}, max_elements=5)
    assert wrong(report) == {"dx"}
    assert "along a random direction" in str(report)


@pytest.mark.parametrize("factor", [1, -1, 0, 3])
def test_a_kink_whose_slopes_cancel_is_seen(factor):
    """|x| at 0: the central difference is exactly 0, as is what any backward says there."""
    x = np.array([0.0, 0.0, 1.0, -1.0])
    report = check(lambda x: (np.abs(x), x), lambda dy, x: (factor * dy * np.sign(x),), {"x": x})
    assert report.verdict == ("right" if factor == 1 else "WRONG")
    assert report.gradients[0].kinks >= 2
    report = check(lambda x: (np.abs(x), x), lambda dy, x: (factor * dy * np.sign(x),), {"x": np.zeros(3)})
    assert report.verdict == ("not checked" if factor == 1 else "WRONG")


def line_of(curve):
    """The line of ``curve`` at 1, with the rounding of numbers of size 1; and the points at which it was computed."""
    x, seen = np.array([1.0]), []

    def outputs():
        seen.append(float(x[0]))
        return np.array([curve(x[0])])

    return Line(Loss(outputs, np.ones(1)), x, (0,), 1.0, STEP, np.array([4 * EPS])), seen


@pytest.mark.parametrize("size", [1e-4, 1e-5])
def test_where_rounding_limits_the_step_is_lengthened_at_once(size):
    line, seen = line_of(lambda x: 1 + size * np.sin(x))
    slope = measure(line, 1e-6 * size)
    assert abs(slope.value - size * np.cos(1)) <= slope.error <= 1e-5 * size
    assert len(seen) <= 1 + 2 * 3


@pytest.mark.parametrize("place", [1.0002, 1.0005, 1.01])
def test_a_longer_step_across_a_kink_is_not_taken(place):
    line, _ = line_of(lambda x: 1 + 1e-5 * np.abs(x - place))
    slope = measure(line, 1e-11)
    assert slope.between is None
    assert abs(slope.value + 1e-5) <= slope.error <= 1e-9


def test_the_stairs_of_a_probability_near_one_are_rounding():
    def forward(z, t):
        p = 1 / (1 + np.exp(-z))
        return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p)), (p, t)

    def backward(dloss, cache):
        p, t = cache
        return dloss * (p - t) / len(t), None

    z = np.array([-2.0, 1.0, 17.0, 18.0, 14.0, -1.0])  # 1 - p of 18 is 1.5e-8, and has but eight digits
    t = np.zeros(6)
    assert check(forward, backward, {"z": z, "t": t}, fixed=["t"]).verdict == "right"
    doubled = check(forward, lambda d, cache: (2 * backward(d, cache)[0], None), {"z": z, "t": t}, fixed=["t"])
    assert doubled.verdict == "WRONG"
