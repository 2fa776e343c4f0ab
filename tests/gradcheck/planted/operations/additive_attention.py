"""Additive attention: the score is v · tanh(W h + U s)."""

import numpy as np

STYLE = "class"
SIZES = {"N": 2, "T": 4, "H": 3, "A": 5}


def make_inputs(N=2, T=4, H=3, A=5, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "s": rng.normal(size=(N, H)),
        "hs": rng.normal(size=(N, T, H)),
        "U": rng.normal(size=(H, A)),
        "W": rng.normal(size=(H, A)),
        "v": rng.normal(size=A),
    }


class AdditiveAttention:
    def __init__(self, U, W, v):
        self.U, self.W, self.v = U, W, v

    def forward(self, s, hs):
        self.s, self.hs = s, hs
        self.u = np.tanh((s @ self.U)[:, None, :] + hs @ self.W)
        scores = self.u @ self.v
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.alpha = e / e.sum(axis=1, keepdims=True)
        return (self.alpha[:, :, None] * self.hs).sum(axis=1)

    def backward(self, dctx):
        dhs = self.alpha[:, :, None] * dctx[:, None, :]
        dalpha = (dctx[:, None, :] * self.hs).sum(axis=2)
        dscores = self.alpha * (dalpha - (self.alpha * dalpha).sum(axis=1, keepdims=True))
        self.dv = (dscores[:, :, None] * self.u).sum(axis=(0, 1))
        du = dscores[:, :, None] * self.v
        dpre = du * (1 - self.u**2)
        self.dW = np.einsum("nth,nta->ha", self.hs, dpre)
        dhs += dpre @ self.W.T
        dpre_s = dpre.sum(axis=1)
        self.dU = self.s.T @ dpre_s
        ds = dpre_s @ self.U.T
        return ds, dhs


def forward(s, hs, U, W, v):
    layer = AdditiveAttention(U, W, v)
    return layer.forward(s, hs), layer


def backward(dctx, layer):
    ds, dhs = layer.backward(dctx)
    return ds, dhs, layer.dU, layer.dW, layer.dv
