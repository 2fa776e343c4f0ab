"""A forward with changes has the gradients that a wrong backward computes; no other change has."""

import time

import numpy as np

from scratchlv.gradcheck.naming.loops import Loops
from scratchlv.gradcheck.naming.simulation import Simulation, scaled

from ..operations import evidence_of, rnn_backward, rnn_forward, rnn_inputs, simulation_of


def test_inputs_are_left_as_they_are():
    inputs = rnn_inputs()
    before = {name: value.copy() for name, value in inputs.items()}
    Simulation(evidence_of(rnn_forward, rnn_backward(), inputs, []), time.perf_counter() + 60)
    assert all(np.array_equal(inputs[name], before[name]) for name in inputs)


def test_a_dropped_path_explains_all_gradients_and_no_other_does():
    simulation = simulation_of("dh_next", ["x", "h0", "Wx", "Wh", "b"])
    (carried,) = Loops(simulation).carried
    dropped = {index: scaled(carried.j, 0) for index in carried.calls}
    assert simulation.explains_all(dropped)
    assert not simulation.explains_all({})
    for index in carried.calls:
        assert not simulation.explains_all({k: change for k, change in dropped.items() if k != index})
