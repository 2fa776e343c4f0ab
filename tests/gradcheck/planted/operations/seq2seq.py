"""Encoder and decoder, both tanh networks; the encoder's last state starts the decoder. Mean squared error."""

import numpy as np

STYLE = "class"
SIZES = {"N": 2, "T": 3, "S": 4, "D": 2, "H": 3}


def make_inputs(N=2, T=3, S=4, D=2, H=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "source": rng.normal(size=(T, N, D)),
        "target": rng.normal(size=(S, N, D)),
        "Wx": rng.normal(size=(D, H)),
        "We": rng.normal(size=(H, H)),
        "Wd": rng.normal(size=(H, H)),
        "Wo": rng.normal(size=(H, D)),
    }


class Encoder:
    def __init__(self, Wx, W):
        self.Wx, self.W = Wx, W

    def forward(self, xs, h):
        self.xs, self.hs = xs, [h]
        for x in xs:
            h = np.tanh(x @ self.Wx + h @ self.W)
            self.hs.append(h)
        return h

    def backward(self, dh):
        dWx, dW, dxs = np.zeros_like(self.Wx), np.zeros_like(self.W), np.zeros_like(self.xs)
        for t in reversed(range(len(self.xs))):
            dz = (1 - self.hs[t + 1] ** 2) * dh
            dWx += self.xs[t].T @ dz
            dW += self.hs[t].T @ dz
            dxs[t] = dz @ self.Wx.T
            dh = dz @ self.W.T
        return dxs, dWx, dW


class Decoder:
    def __init__(self, Wd, Wo):
        self.Wd, self.Wo = Wd, Wo

    def forward(self, h, target):
        self.states, self.errors = [h], []
        for y in target:
            h = np.tanh(h @ self.Wd)
            self.states.append(h)
            self.errors.append(h @ self.Wo - y)
        return np.mean(np.square(self.errors))

    def backward(self, dloss):
        dWd, dWo = np.zeros_like(self.Wd), np.zeros_like(self.Wo)
        errors = np.array(self.errors)
        dout = 2 * dloss * errors / errors.size
        dh = np.zeros_like(self.states[0])
        for s in reversed(range(len(errors))):
            dWo += self.states[s + 1].T @ dout[s]
            dh = dh + dout[s] @ self.Wo.T
            dz = (1 - self.states[s + 1] ** 2) * dh
            dWd += self.states[s].T @ dz
            dh = dz @ self.Wd.T
        return dh, -dout, dWd, dWo


def forward(source, target, Wx, We, Wd, Wo):
    encoder, decoder = Encoder(Wx, We), Decoder(Wd, Wo)
    h = encoder.forward(source, np.zeros((source.shape[1], We.shape[0])))
    return decoder.forward(h, target), (encoder, decoder)


def backward(dloss, cache):
    encoder, decoder = cache
    dh, dtarget, dWd, dWo = decoder.backward(dloss)
    dsource, dWx, dWe = encoder.backward(dh)
    return dsource, dtarget, dWx, dWe, dWd, dWo
