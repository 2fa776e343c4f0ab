"""Bidirectional recurrent network; the states of both directions side by side."""

import numpy as np

STYLE = "class"
SIZES = {"N": 2, "T": 4, "D": 3, "H": 2}


def make_inputs(N=2, T=4, D=3, H=2, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, T, D)),
        "Wx_f": rng.normal(size=(D, H)),
        "Wh_f": rng.normal(size=(H, H)),
        "Wx_b": rng.normal(size=(D, H)),
        "Wh_b": rng.normal(size=(H, H)),
    }


class RNN:
    def __init__(self, Wx, Wh):
        self.Wx, self.Wh = Wx, Wh

    def forward(self, x):
        N, T, _ = x.shape
        self.x = x
        self.h = np.zeros((N, T + 1, len(self.Wh)))
        for t in range(T):
            self.h[:, t + 1] = np.tanh(x[:, t] @ self.Wx + self.h[:, t] @ self.Wh)
        return self.h[:, 1:]

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        self.dWx, self.dWh = np.zeros_like(self.Wx), np.zeros_like(self.Wh)
        dh = 0
        for t in reversed(range(dy.shape[1])):
            dh = dh + dy[:, t]
            da = dh * (1 - self.h[:, t + 1] ** 2)
            self.dWx += self.x[:, t].T @ da
            self.dWh += self.h[:, t].T @ da
            dx[:, t] = da @ self.Wx.T
            dh = da @ self.Wh.T
        return dx


class BiRNN:
    def __init__(self, fwd, bwd):
        self.fwd, self.bwd = fwd, bwd

    def forward(self, x):
        left = self.fwd.forward(x)
        right = self.bwd.forward(x[:, ::-1])[:, ::-1]
        return np.concatenate([left, right], axis=2)

    def backward(self, dy):
        H = dy.shape[2] // 2
        dx_left = self.fwd.backward(dy[:, :, :H])
        dx_right = self.bwd.backward(dy[:, ::-1, H:])[:, ::-1]
        return dx_left + dx_right


def forward(x, Wx_f, Wh_f, Wx_b, Wh_b):
    net = BiRNN(RNN(Wx_f, Wh_f), RNN(Wx_b, Wh_b))
    return net.forward(x), net


def backward(dy, net):
    dx = net.backward(dy)
    return dx, net.fwd.dWx, net.fwd.dWh, net.bwd.dWx, net.bwd.dWh
