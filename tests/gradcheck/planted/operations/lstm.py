"""LSTM over a batch of sequences (T, N, D), the four gates in one matrix."""

import numpy as np

STYLE = "functions"
SIZES = {"T": 4, "N": 3, "D": 2, "H": 3}


def make_inputs(T=4, N=3, D=2, H=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(T, N, D)),
        "h0": rng.normal(size=(N, H)),
        "c0": rng.normal(size=(N, H)),
        "Wx": rng.normal(size=(D, 4 * H)),
        "Wh": rng.normal(size=(H, 4 * H)),
        "b": rng.normal(size=4 * H),
    }


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(x, h0, c0, Wx, Wh, b):
    T, N, D = x.shape
    H = h0.shape[1]
    hs, cs, gates = [h0], [c0], []
    for t in range(T):
        a = x[t] @ Wx + hs[-1] @ Wh + b
        i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
        g = np.tanh(a[:, 3 * H :])
        c = f * cs[-1] + i * g
        hs.append(o * np.tanh(c))
        cs.append(c)
        gates.append((i, f, o, g))
    return np.stack(hs[1:]), (x, hs, cs, gates, Wx, Wh)


def backward(dhs, cache):
    x, hs, cs, gates, Wx, Wh = cache
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1])
    dh_next = np.zeros_like(hs[0])
    dc_next = np.zeros_like(cs[0])
    for t in range(len(x) - 1, -1, -1):
        i, f, o, g = gates[t]
        c, c_prev = cs[t + 1], cs[t]
        dh = dhs[t] + dh_next
        tanh_c = np.tanh(c)
        do = dh * tanh_c
        dc = dc_next + dh * o * (1 - tanh_c**2)
        df = dc * c_prev
        di = dc * g
        dg = dc * i
        da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
        dx[t] = da @ Wx.T
        dWx += x[t].T @ da
        dWh += hs[t].T @ da
        db += da.sum(axis=0)
        dh_next = da @ Wh.T
        dc_next = dc * f
    return dx, dh_next, dc_next, dWx, dWh, db
