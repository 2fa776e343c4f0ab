"""Recurrent network whose outputs, but not its states, go through dropout; the masks are given."""

import numpy as np

STYLE = "closure"
SIZES = {"T": 3, "N": 4, "D": 2, "H": 5}


def make_inputs(T=3, N=4, D=2, H=5, seed=0):
    rng = np.random.default_rng(seed)
    keep = rng.random((T, N, H)) < 0.6
    keep[0, 0, 0] = False
    return {
        "x": rng.normal(size=(T, N, D)),
        "keep": keep,
        "Wx": rng.normal(size=(D, H)),
        "Wh": rng.normal(size=(H, H)),
        "Wy": rng.normal(size=(H, 2)),
    }


def dropout_rnn(p=0.4):
    scale = 1 / (1 - p)

    def forward(x, keep, Wx, Wh, Wy):
        h = np.zeros((x.shape[1], len(Wh)))
        hs, ys = [h], []
        for x_t, keep_t in zip(x, keep, strict=True):
            h = np.tanh(x_t @ Wx + h @ Wh)
            hs.append(h)
            ys.append((h * keep_t * scale) @ Wy)
        return np.array(ys), (x, keep, Wx, Wh, Wy, hs)

    def backward(dys, cache):
        x, keep, Wx, Wh, Wy, hs = cache
        dWx, dWh, dWy = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wy)
        dx = np.zeros_like(x)
        dh = np.zeros_like(hs[0])
        for t in range(len(x))[::-1]:
            dropped = hs[t + 1] * keep[t] * scale
            dWy += dropped.T @ dys[t]
            dh = dh + dys[t] @ Wy.T * keep[t] * scale
            dz = dh * (1 - hs[t + 1] ** 2)
            dWx += x[t].T @ dz
            dWh += hs[t].T @ dz
            dx[t] = dz @ Wx.T
            dh = dz @ Wh.T
        return dx, dWx, dWh, dWy

    return forward, backward


forward, backward = dropout_rnn()
