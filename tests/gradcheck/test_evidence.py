"""The evidence that a check hands over: forward and backward can be asked again."""

import sys

import numpy as np
import pytest

from scratchlv.gradcheck import check

from .operations import linear, normal


def test_forward_and_backward_can_be_asked_again(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def diagnose(evidence, **settings):
        seen.append(evidence)
        return []

    monkeypatch.setattr(sys.modules["scratchlv.gradcheck.conclusions"], "diagnose", diagnose)
    inputs = {"x": normal(4, 3), "W": normal(3, 2)}
    check(linear, lambda dy, cache: (-dy @ cache[1].T, cache[0].T @ dy), inputs, repair=False)
    (evidence,) = seen
    assert evidence.wrong == ["x"]
    assert np.array_equal(evidence.forward(evidence.inputs)[0], evidence.y)
    again = evidence.backward(2 * evidence.dy)
    assert all(np.allclose(again[name], 2 * evidence.analytic[name]) for name in inputs)
