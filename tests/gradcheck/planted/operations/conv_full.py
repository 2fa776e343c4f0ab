"""Convolution with stride 1: the gradient by the input is a full convolution with the flipped kernel."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 2, "C": 3}


def make_inputs(N=2, C=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(N, C, 5, 4)), "kernel": rng.normal(size=(2, C, 3, 3))}


def correlate(x, k):
    """x is (N, C, H, W), k is (F, C, h, w)."""
    h, w = k.shape[2:]
    out = np.zeros((len(x), len(k), x.shape[2] - h + 1, x.shape[3] - w + 1))
    for i in range(h):
        for j in range(w):
            patch = x[:, :, i : i + out.shape[2], j : j + out.shape[3]]
            out += np.einsum("nchw,fc->nfhw", patch, k[:, :, i, j])
    return out


def make_conv():
    def forward(x, kernel):
        return correlate(x, kernel), (x, kernel)

    def backward(dy, cache):
        x, kernel = cache
        h, w = kernel.shape[2:]
        padded = np.pad(dy, ((0, 0), (0, 0), (h - 1, h - 1), (w - 1, w - 1)))
        flipped = kernel[:, :, ::-1, ::-1]
        dx = correlate(padded, flipped.transpose(1, 0, 2, 3))
        dkernel = correlate(x.transpose(1, 0, 2, 3), dy.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
        return dx, dkernel

    return forward, backward


forward, backward = make_conv()
