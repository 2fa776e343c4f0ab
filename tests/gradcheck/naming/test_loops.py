"""Loops over time are told from loops over layers and over the batch."""

import time

import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.loops import Loops, are_labels
from scratchlv.gradcheck.naming.simulation import Simulation

from ..operations import H, N, T, evidence_of, normal, simulation_of


def test_a_loop_over_time_is_known_with_its_axes():
    loops = Loops(simulation_of(None, []))
    assert loops.time_axes == {"x": 0}
    assert loops.output_axis == 0
    assert loops.initial == {"h0"}


def test_a_loop_over_layers_is_none_over_time():
    def forward(x, W1, W2, W3):
        for W in (W1, W2, W3):
            x = np.tanh(x @ W)
        return x, None

    inputs = {"x": normal(N, 2), "W1": normal(2, 2), "W2": normal(2, 2, seed=1), "W3": normal(2, 2, seed=2)}
    evidence = evidence_of(forward, lambda dy, cache: [inputs[name] for name in inputs], inputs, [])
    assert Loops(Simulation(evidence, time.perf_counter() + 60)).carried == []


def test_a_loop_over_the_batch_is_none_over_time():
    def forward(x, W):
        return np.array([row @ W for row in x]), None

    inputs = {"x": normal(T, 3), "W": normal(3, H)}
    evidence = evidence_of(forward, lambda dy, cache: (dy @ inputs["W"].T, inputs["x"].T @ dy), inputs, [])
    loops = Loops(Simulation(evidence, time.perf_counter() + 60))
    assert loops.carried == []
    assert loops.time_axes == {}


def test_whole_numbers_are_labels_and_a_mask_is_none():
    class Simulated:
        evidence = Evidence({"labels": np.array([0, 1, 1]), "mask": np.array([1, 1, 0])})

    assert are_labels(Simulated, np.array([0.0, 3.0, 3.0])) and not are_labels(Simulated, np.array([3.0, 3.0, 0.0]))
