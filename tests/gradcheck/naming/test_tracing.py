"""Forward is watched, and run again with changes."""

import numpy as np
import pytest

from scratchlv.gradcheck.naming.tracing import Diverged, Tracer

from ..operations import normal


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


def test_what_is_put_into_a_buffer_is_followed():
    def forward(inputs):
        x = inputs["x"]
        h = np.zeros((3, 2))
        for t in range(3):
            h[t] = np.tanh(x[t])
        return np.exp(h), None

    tracer = Tracer(forward, {"x": normal(3, 2)}, ["x"])
    assert [call.name for call in tracer.calls] == ["tanh", "tanh", "tanh", "exp"]
    assert type(np.zeros(1)) is np.ndarray
