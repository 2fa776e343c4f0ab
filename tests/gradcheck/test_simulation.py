"""Forward is watched, run again with changes, and its loops over time are told from others."""

import time

import numpy as np
import pytest

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.loops import Loops
from scratchlv.gradcheck.origins import Origins
from scratchlv.gradcheck.simulation import Simulation, scaled
from scratchlv.gradcheck.tracing import Diverged, Tracer

from .operations import H, N, T, normal, rnn_backward, rnn_forward, rnn_inputs


def evidence_of(forward, backward, inputs, wrong):
    """As a check makes it, but without slopes: a simulation takes its own."""
    y, cache = forward(**inputs)
    dy = normal(*np.shape(y), seed=5) if np.ndim(y) else np.float64(1)
    names = [name for name, value in inputs.items() if np.asarray(value).dtype.kind == "f"]

    def gradients(dy):
        return dict(zip(names, backward(dy, cache), strict=True))

    return Evidence(
        inputs=inputs,
        analytic=gradients(dy),
        wrong=wrong,
        y=y,
        dy=dy,
        cache=cache,
        backward=gradients,
        forward=lambda inputs: forward(**inputs),
    )


def simulation_of(bug, wrong):
    return Simulation(evidence_of(rnn_forward, rnn_backward(bug), rnn_inputs(), wrong), time.perf_counter() + 60)


def test_every_operation_is_recorded():
    def forward(inputs):
        x, W = inputs["x"], inputs["W"]
        h = np.tanh(x @ W).mean(axis=0)
        h += x[np.array([0, 0])].sum()
        return np.concatenate([h, W[0]]), None

    tracer = Tracer(forward, {"x": normal(3, 2), "W": normal(2, 4)}, ["x", "W"])
    assert [call.name for call in tracer.calls] == ["matmul", "tanh", "mean", "getitem", "sum", "add", "concatenate"]
    assert type(tracer.y) is np.ndarray


def test_a_change_replaces_what_an_operation_returns():
    tracer = Tracer(lambda inputs: (np.exp(inputs["x"]) + 1, None), {"x": normal(3)}, ["x"])
    assert np.array_equal(tracer.output({}, {0: lambda call, operands, output: 0 * output}), np.ones(3))
    assert np.array_equal(tracer.output({"x": np.ones(3)}), np.exp(normal(3) + 1) + 1)


def test_a_run_that_takes_another_way_is_noticed():
    def forward(inputs):
        x = inputs["x"]
        return (np.exp(x) if x.sum() > 0 else np.tanh(x)), None

    tracer = Tracer(forward, {"x": np.ones(2)}, ["x"])
    with pytest.raises(Diverged):
        tracer.output({"x": np.full(2, -5.0)})


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
