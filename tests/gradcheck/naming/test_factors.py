"""A factor is named by lengths, settings and what forward divides by; a number that fits nothing has no name."""

import numpy as np
import pytest

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.factors import factor_cause


@pytest.mark.parametrize(
    ("c", "inputs", "words"),
    [
        (-1, {}, "a sign that is flipped"),
        (5, {"x": np.zeros((5, 3))}, "a division by x.shape[0]"),
        (1 / 15, {"x": np.zeros((5, 3))}, "a division by x.shape[0]·x.shape[1] too many"),
        (np.sqrt(3), {"x": np.zeros((5, 3))}, "1/√d"),
        (0.01, {"x": np.zeros((5, 3))}, "learning rate"),
        (2.5, {"mask": np.array([1, 0, 1, 0, 0], bool)}, "the mask is missing in the normaliser"),
        (1 / 0.7, {"p": 0.3}, "1/(1 − p)"),
        (0.7 / 0.3, {"p": np.array(0.3)}, "1/(1 − p)"),
        (2, {"x": np.zeros((5, 3))}, "missing 1/2"),
        (0.5, {"x": np.zeros((5, 3))}, "a factor of 2 that is missing"),
        (np.sqrt(5 / 3), {"x": np.zeros((5, 3))}, "a scale of 1/√d with the wrong d: x.shape[1] for x.shape[0]"),
        (1.234, {"x": np.zeros((5, 3))}, "a constant factor that is missing or doubled"),
    ],
)
def test_factors(c, inputs, words):
    evidence = Evidence(inputs)
    assert words in factor_cause(c, evidence)[0]


def test_a_mean_that_forward_does_not_have_is_not_missing():
    evidence = Evidence({"x": np.zeros((5, 3))})
    assert "division by" in factor_cause(5, evidence, divisors={15.0})[0]
    assert "division by" not in factor_cause(5, evidence, divisors={3.0})[0]
