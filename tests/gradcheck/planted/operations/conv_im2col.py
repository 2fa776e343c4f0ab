"""Convolution as a matrix product, with im2col and col2im."""

import numpy as np

STYLE = "class"
SIZES = {"N": 2, "C": 2}


def make_inputs(N=2, C=2, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(N, C, 5, 5)), "W": rng.normal(size=(3, C, 3, 3)), "b": rng.normal(size=3)}


def im2col(x, k, stride, pad):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    N, C, H, W = x.shape
    oh, ow = (H - k) // stride + 1, (W - k) // stride + 1
    cols = np.zeros((N, C, k, k, oh, ow))
    for i in range(k):
        for j in range(k):
            cols[:, :, i, j] = x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
    return cols.transpose(0, 4, 5, 1, 2, 3).reshape(N * oh * ow, -1), oh, ow


def col2im(dcols, shape, k, stride, pad):
    N, C, H, W = shape
    oh, ow = (H + 2 * pad - k) // stride + 1, (W + 2 * pad - k) // stride + 1
    dcols = dcols.reshape(N, oh, ow, C, k, k).transpose(0, 3, 4, 5, 1, 2)
    dx = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    for i in range(k):
        for j in range(k):
            dx[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] += dcols[:, :, i, j]
    return dx[:, :, pad : H + pad, pad : W + pad]


class Conv:
    def __init__(self, W, b, stride=2, pad=1):
        self.W, self.b, self.stride, self.pad = W, b, stride, pad

    def forward(self, x):
        F, C, k, _ = self.W.shape
        self.shape = x.shape
        self.cols, oh, ow = im2col(x, k, self.stride, self.pad)
        out = self.cols @ self.W.reshape(F, -1).T + self.b
        return out.reshape(len(x), oh, ow, F).transpose(0, 3, 1, 2)

    def backward(self, dout):
        F, C, k, _ = self.W.shape
        dflat = dout.transpose(0, 2, 3, 1).reshape(-1, F)
        self.db = dflat.sum(axis=0)
        self.dW = (dflat.T @ self.cols).reshape(self.W.shape)
        dcols = dflat @ self.W.reshape(F, -1)
        return col2im(dcols, self.shape, k, self.stride, self.pad)


def forward(x, W, b):
    layer = Conv(W, b)
    return layer.forward(x), layer


def backward(dout, layer):
    dx = layer.backward(dout)
    return dx, layer.dW, layer.db
