"""Highway layer: a gate chooses between the input and a candidate."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 5, "D": 3}


def make_inputs(N=5, D=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, D)),
        "Wg": rng.normal(size=(D, D)),
        "bg": rng.normal(size=D),
        "Wc": rng.normal(size=(D, D)),
        "bc": rng.normal(size=D),
    }


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def highway():
    memory = {}

    def forward(x, Wg, bg, Wc, bc):
        gate = sigmoid(x @ Wg + bg)
        cand = np.tanh(x @ Wc + bc)
        memory["dims"] = x.shape
        return gate * cand + (1 - gate) * x, (x, Wg, Wc, gate, cand)

    def backward(dy, cache):
        x, Wg, Wc, gate, cand = cache
        assert dy.shape == memory["dims"]
        dgate = dy * (cand - x)
        dcand = dy * gate
        dag = dgate * gate * (1 - gate)
        dac = dcand * (1 - cand**2)
        dx = dy * (1 - gate)
        dx += dag @ Wg.T
        dx += dac @ Wc.T
        return dx, x.T @ dag, dag.sum(0), x.T @ dac, dac.sum(0)

    return forward, backward


forward, backward = highway()
