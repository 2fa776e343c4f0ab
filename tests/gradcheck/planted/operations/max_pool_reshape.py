"""Max pooling over 2 by 2 windows by reshaping."""

import numpy as np

STYLE = "class"
SIZES = {"N": 2, "C": 3}


def make_inputs(N=2, C=3, seed=0):
    return {"x": np.random.default_rng(seed).normal(size=(N, C, 4, 4))}


class MaxPool:
    def forward(self, x):
        self.shape = N, C, H, W = x.shape
        windows = x.reshape(N, C, H // 2, 2, W // 2, 2).transpose(0, 1, 2, 4, 3, 5)
        self.flat = windows.reshape(N, C, H // 2, W // 2, 4)
        self.which = self.flat.argmax(axis=-1)
        return self.flat.max(axis=-1)

    def backward(self, dy):
        N, C, H, W = self.shape
        dflat = np.zeros_like(self.flat)
        np.put_along_axis(dflat, self.which[..., None], dy[..., None], axis=-1)
        dwindows = dflat.reshape(N, C, H // 2, W // 2, 2, 2)
        return dwindows.transpose(0, 1, 2, 4, 3, 5).reshape(self.shape)


def forward(x):
    pool = MaxPool()
    return pool.forward(x), pool


def backward(dy, pool):
    return pool.backward(dy)
