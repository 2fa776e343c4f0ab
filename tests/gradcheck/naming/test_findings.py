"""Findings become sentences, and those that say the same are one."""

import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.findings import Finding, equal, explained_by, merged, wrong_places

EVIDENCE = Evidence({}, {"x": np.zeros(2), "W": np.zeros(2)}, {}, ["x", "W"])


def test_a_sentence_names_the_gradients():
    assert Finding(("W",), "is off", "a bug").sentence(EVIDENCE) == "dW is off: consistent with a bug"
    assert Finding(("x", "W"), "is off", "a bug").sentence(EVIDENCE) == "every gradient is off: consistent with a bug"


def test_the_same_of_two_gradients_is_said_once():
    findings = [Finding((name,), "is off", "a bug") for name in ("x", "W")] + [Finding(("W",), "is off", "another")]
    assert merged(findings) == [Finding(("x", "W"), "is off", "a bug"), Finding(("W",), "is off", "another")]
    assert explained_by(findings) == {"x", "W"}


def test_equality_is_judged_where_slopes_are_known():
    n = np.array([1.0, np.nan, 2.0])
    assert equal(np.array([1.0, 7.0, 2.0]), n)
    assert not equal(np.array([1.0, 7.0, 2.1]), n)
    assert not equal(np.zeros(3), np.full(3, np.nan))
    assert wrong_places(np.array([1.0, 7.0, 2.1]), n).tolist() == [False, False, True]
