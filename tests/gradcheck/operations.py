"""Operations with room for bugs: a recurrent network, and what is smaller."""

import time

import numpy as np

from scratchlv.gradcheck import check
from scratchlv.gradcheck.evidence import Evidence
from scratchlv.gradcheck.naming.simulation import Simulation

T, N, D, H = 4, 3, 5, 2


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def rnn_inputs(T=T, N=N):
    return {"x": normal(T, N, D), "h0": normal(N, H), "Wx": normal(D, H), "Wh": normal(H, H), "b": normal(H)}


def rnn_forward(x, h0, Wx, Wh, b):
    h = [h0]
    for x_t in x:
        h.append(np.tanh(x_t @ Wx + h[-1] @ Wh + b))
    return np.array(h[1:]).reshape(len(x), *h0.shape), (x, np.array(h), Wx, Wh)


def rnn_backward(bug=None):
    def backward(dy, cache):
        x, h, Wx, Wh = cache
        dx, dWx, dWh, db, dh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(H), np.zeros_like(h[0])
        for t in reversed(range(1 if bug == "dropped time step" else 0, len(x))):
            dh = dh + dy[t]
            da = dh * (1 - h[t + 1]) if bug == "local derivative" else dh * (1 - h[t + 1] ** 2)
            dx[t] = da @ Wx.T
            dWx = x[t].T @ da if bug == "= for +=" else dWx + x[t].T @ da
            dWh += h[t + 1 if bug == "h_t for h_t-1" else t].T @ da
            db += da[0] if bug == "batch sum" else da.sum(0)
            dh = da @ (Wh if bug == "W for W.T" else Wh.T)
            if bug == "dh_next":
                dh = np.zeros_like(dh)
        if bug == "off by one":
            dx = np.roll(dx, 1, axis=0)
        if bug == "zero":
            db[:] = 0
        if bug == "sign":
            dWx = -dWx
        if bug == "NaN":
            dWh[0, 0] = np.nan
        if bug == "transposed":
            dWh = dWh.T
        if bug == "regularisation":
            dWx = dWx + 0.1 * Wx
        return dx, dh, dWx, dWh, db

    return backward


def check_rnn(bug=None):
    sizes = {"T": T, "N": N}
    return check(rnn_forward, rnn_backward(bug), rnn_inputs(), remake=rnn_inputs, sizes=sizes, repair=False)


def lstm_inputs(T=T, N=N):
    shapes = {"x": (T, N, D), "h0": (N, H), "c0": (N, H), "Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
    return {name: normal(*shape) for name, shape in shapes.items()}


def linear(x, W):
    return x @ W, (x, W)


def wrong(report):
    return {gradient.name for gradient in report.gradients if not gradient.ok}


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


def diagnosed(forward, backward, inputs):
    """The first sentence on a backward pass that is wrong."""
    report = check(forward, backward, inputs, repair=False)
    assert not report.ok
    return report.diagnosis[0]
