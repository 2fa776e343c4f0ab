import numpy as np

from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.repair.activations import Activations

X = np.linspace(-2, 2, 5)


def activations(forward):
    return Activations(Evidence({"x": X}, {"x": X}, forward=lambda inputs: (forward(inputs["x"]), None)))


def test_tanh_and_sigmoid_and_relu_are_known_by_what_they_make():
    found = activations(lambda x: np.tanh(x) + 1 / (1 + np.exp(-2 * x)) + np.maximum(x - 1, 0))
    assert found.known and found.gated
    assert found.uses("tanh", [np.tanh(X)]) and found.uses("tanh", [X])
    assert found.uses("sigmoid", [1 / (1 + np.exp(-2 * X))]) and not found.uses("sigmoid", [np.tanh(X)])
    assert found.uses("relu", [X - 1 > 0]) and not found.uses("relu", [X > 0])


def test_nothing_is_known_of_what_cannot_be_watched():
    def forward(x):
        raise ValueError

    assert not activations(forward).known
    assert not Activations(Evidence({"x": X}, {"x": X})).known
    assert not activations(np.tanh).gated
