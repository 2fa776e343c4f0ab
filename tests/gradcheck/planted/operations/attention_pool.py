"""A sequence as the mean of its states, weighed by attention."""

import numpy as np

STYLE = "class"
SIZES = {"N": 3, "T": 4, "D": 5}


def make_inputs(N=3, T=4, D=5, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, T + 1, size=(N, 1))
    return {"H": rng.normal(size=(N, T, D)), "v": rng.normal(size=D), "mask": np.arange(T) < lengths}


class Pool:
    def forward(self, H, v, mask):
        self.H, self.v, self.mask = H, v, mask
        e = np.where(mask, H @ v, -1e9)
        e = np.exp(e - e.max(axis=1, keepdims=True))
        self.alpha = e / e.sum(axis=1, keepdims=True)
        self.ctx = (self.alpha[:, :, None] * H).sum(axis=1)
        return self.ctx

    def backward(self, dctx):
        dH = self.alpha[:, :, None] * dctx[:, None, :]
        dalpha = (self.H * dctx[:, None, :]).sum(axis=2)
        de = self.alpha * (dalpha - (self.alpha * dalpha).sum(axis=1, keepdims=True))
        dH = dH + de[:, :, None] * self.v
        dv = np.einsum("nt,ntd->d", de, self.H)
        return dH, dv


pool = Pool()


def forward(H, v, mask):
    return pool.forward(H, v, mask), pool


def backward(dctx, cache):
    return cache.backward(dctx)
