"""Nearest-neighbour upsampling, then max pooling over overlapping windows: equal elements are everywhere."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 2, "H": 3, "W": 4}


def make_inputs(N=2, H=3, W=4, seed=0):
    return {"x": np.random.default_rng(seed).normal(size=(N, H, W))}


def make_layer(size=3):
    def forward(x):
        up = x.repeat(2, axis=1).repeat(2, axis=2)
        N, H, W = up.shape
        out = np.zeros((N, H - size + 1, W - size + 1))
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[:, i, j] = up[:, i : i + size, j : j + size].max(axis=(1, 2))
        return out, up

    def backward(dout, up):
        dup = np.zeros_like(up)
        for n, i, j in np.ndindex(dout.shape):
            window = up[n, i : i + size, j : j + size]
            a, b = divmod(window.argmax(), size)
            dup[n, i + a, j + b] += dout[n, i, j]
        N, H, W = up.shape
        return dup.reshape(N, H // 2, 2, W // 2, 2).sum(axis=(2, 4))

    return forward, backward


forward, backward = make_layer()
