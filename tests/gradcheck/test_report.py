"""What a report says, and when it says that all is right."""

import json

import numpy as np
import pytest

from scratchlv.gradcheck.report import Gradient, Report

RIGHT = Gradient("dx", error=1e-9, tolerance=1e-6, worst=(0, 1))
WRONG = Gradient("dW", error=0.5, tolerance=1e-6, worst=(2, 0), analytic=3.0, numeric=2.0)


def test_nan_is_never_right():
    assert not Gradient("dx", error=np.nan, tolerance=1e-6).ok
    assert not Report(gradients=[Gradient("dx", error=1e-9, tolerance=np.nan)]).ok


@pytest.mark.parametrize(
    ("report", "verdict"),
    [
        (Report(gradients=[RIGHT]), "right"),
        (Report(gradients=[RIGHT, WRONG]), "WRONG"),
        (Report(gradients=[RIGHT], problems=["two runs differ"]), "WRONG"),
        (Report(not_checked="it is Sunday"), "not checked"),
    ],
)
def test_the_verdict(report, verdict):
    assert report.verdict == verdict
    assert verdict in str(report)


def test_the_worst_gradient_is_a_wrong_one_or_else_the_one_nearest_to_its_tolerance():
    near = Gradient("db", error=1e-10, tolerance=2e-10)
    assert Report(gradients=[RIGHT, near]).worst is near
    assert Report(gradients=[near, WRONG, RIGHT]).worst is WRONG
    assert Report().worst is None


def test_where_it_is_wrong_and_what_it_should_be():
    assert "at (2, 0): 3, and should be 2" in str(WRONG)
    assert "along a random direction" in str(Gradient("dx", error=1.0, tolerance=1e-6))
    assert "and should be" not in str(RIGHT)


def test_as_json_numbers_that_are_not_finite_are_text():
    report = Report("lstm", gradients=[Gradient("dx", error=np.nan, tolerance=1e-6, analytic=np.inf)])
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (read["subject"], read["verdict"]) == ("lstm", "WRONG")
    assert read["gradients"][0]["error"] == "nan"
    assert read["gradients"][0]["analytic"] == "inf"
