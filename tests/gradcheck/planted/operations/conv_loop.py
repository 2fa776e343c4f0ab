"""Convolution with four loops, stride and padding."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 2, "C": 3}


def make_inputs(N=2, C=3, H=5, W=6, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(N, C, H, W)), "w": rng.normal(size=(2, C, 3, 3)), "b": rng.normal(size=2)}


def forward(x, w, b, *, stride=2, pad=1):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, H_out, W_out))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    window = xp[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, xp, w, stride, pad)


def backward(dout, cache):
    x, xp, w, stride, pad = cache
    N, F, H_out, W_out = dout.shape
    HH, WW = w.shape[2:]
    H, W = x.shape[2:]
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    db = np.zeros(F)
    for n in range(N):
        for f in range(F):
            db[f] += dout[n, f].sum()
            for i in range(H_out):
                for j in range(W_out):
                    top, left = i * stride, j * stride
                    dw[f] += dout[n, f, i, j] * xp[n, :, top : top + HH, left : left + WW]
                    dxp[n, :, top : top + HH, left : left + WW] += dout[n, f, i, j] * w[f]
    dx = dxp[:, :, pad : pad + H, pad : pad + W]
    return dx, dw, db
