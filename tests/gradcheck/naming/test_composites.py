"""σ and softmax are found among the operations, however they are written."""

import time

import numpy as np
import pytest

from scratchlv.gradcheck.naming.composites import sigmoids, softmax_spans
from scratchlv.gradcheck.naming.simulation import Simulation

from ..operations import evidence_of, normal


def simulated(function):
    evidence = evidence_of(lambda x: (function(x), None), lambda dy, cache: (dy,), {"x": normal(3, 4)}, [])
    return Simulation(evidence, time.perf_counter() + 60)


@pytest.mark.parametrize(
    "function",
    [lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(x) / (np.exp(x) + 1), lambda x: 0.5 * (np.tanh(0.5 * x) + 1)],
)
def test_sigmoids(function):
    spans = sigmoids(simulated(function))[0]
    assert len(spans) == 1


def test_tanh_is_no_sigmoid():
    assert list(sigmoids(simulated(np.tanh))) == []


def test_softmax_its_axis_its_logarithm_and_its_scale():
    def softmax(x, axis):
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    assert [found[1:3] for found in softmax_spans(simulated(lambda x: softmax(x, -1)))][-1] == (-1, False)
    assert [found[1:3] for found in softmax_spans(simulated(lambda x: softmax(x, 0)))][-1] == (-2, False)
    assert [found[2] for found in softmax_spans(simulated(lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))))] == [
        True
    ]
    assert list(softmax_spans(simulated(lambda x: np.exp(x)))) == []
