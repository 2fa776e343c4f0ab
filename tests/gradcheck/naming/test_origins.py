"""Where the error can come from, whatever the bug is."""

import time

import numpy as np

from scratchlv.gradcheck.naming.origins import Origins
from scratchlv.gradcheck.naming.simulation import Simulation

from ..operations import evidence_of, normal


def test_where_an_error_can_come_from():
    """tanh's derivative is wrong: then the gradient of what goes into tanh is, but not that of the output's weights."""

    def forward(x, W, V):
        h = np.tanh(x @ W)
        return h @ V, (x, W, V, h)

    def backward(dy, cache):
        x, W, V, h = cache
        da = dy @ V.T * (1 - h)
        return da @ W.T, x.T @ da, h.T @ dy

    inputs = {"x": normal(4, 5), "W": normal(5, 2), "V": normal(2, 3)}
    simulation = Simulation(evidence_of(forward, backward, inputs, ["x", "W"]), time.perf_counter() + 60)
    origins = Origins(simulation)
    names = [call.name for call in simulation.calls]
    assert origins.fit([(names.index("tanh"), 0)]) is True
    assert origins.fit([(names.index("matmul"), 0)]) is False  # x alone
