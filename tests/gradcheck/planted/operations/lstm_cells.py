"""LSTM of cell objects with a matrix for each gate over [h, x]; the last state is the output."""

import numpy as np

STYLE = "class"
SIZES = {"N": 2, "T": 3, "D": 3, "H": 2}


def make_inputs(N=2, T=3, D=3, H=2, seed=0):
    rng = np.random.default_rng(seed)
    inputs = {"xs": rng.normal(size=(N, T, D))}
    inputs |= {name: rng.normal(size=(H + D, H)) for name in ("Wf", "Wi", "Wc", "Wo")}
    inputs |= {name: rng.normal(size=H) for name in ("bf", "bi", "bc", "bo")}
    return inputs


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dsigmoid(s):
    return s * (1 - s)


class Cell:
    def __init__(self, p):
        self.p = p

    def forward(self, x, h_prev, c_prev):
        p = self.p
        self.c_prev = c_prev
        self.z = np.concatenate([h_prev, x], axis=1)
        self.f = sigmoid(self.z @ p["Wf"] + p["bf"])
        self.i = sigmoid(self.z @ p["Wi"] + p["bi"])
        self.cand = np.tanh(self.z @ p["Wc"] + p["bc"])
        self.o = sigmoid(self.z @ p["Wo"] + p["bo"])
        self.c = self.f * c_prev + self.i * self.cand
        return self.o * np.tanh(self.c), self.c

    def backward(self, dh, dc, grads):
        p = self.p
        dc = dc + dh * self.o * (1 - np.tanh(self.c) ** 2)
        d = {
            "o": dh * np.tanh(self.c) * dsigmoid(self.o),
            "f": dc * self.c_prev * dsigmoid(self.f),
            "i": dc * self.cand * dsigmoid(self.i),
            "c": dc * self.i * (1 - self.cand**2),
        }
        dz = np.zeros_like(self.z)
        for gate in "ofic":
            grads["W" + gate] += self.z.T @ d[gate]
            grads["b" + gate] += d[gate].sum(axis=0)
            dz += d[gate] @ p["W" + gate].T
        H = dh.shape[1]
        return dz[:, H:], dz[:, :H], dc * self.f


class LSTM:
    def __init__(self, p):
        self.p = p

    def forward(self, xs):
        N, T, D = xs.shape
        H = self.p["bf"].shape[0]
        h, c = np.zeros((N, H)), np.zeros((N, H))
        self.cells = []
        for t in range(T):
            cell = Cell(self.p)
            h, c = cell.forward(xs[:, t], h, c)
            self.cells.append(cell)
        self.shape = xs.shape
        return h

    def backward(self, dh):
        grads = {name: np.zeros_like(value) for name, value in self.p.items()}
        dxs = np.zeros(self.shape)
        dc = np.zeros_like(dh)
        for t in reversed(range(len(self.cells))):
            dxs[:, t], dh, dc = self.cells[t].backward(dh, dc, grads)
        return dxs, grads


def forward(xs, Wf, Wi, Wc, Wo, bf, bi, bc, bo):
    lstm = LSTM({"Wf": Wf, "Wi": Wi, "Wc": Wc, "Wo": Wo, "bf": bf, "bi": bi, "bc": bc, "bo": bo})
    return lstm.forward(xs), lstm


def backward(dh, lstm):
    dxs, grads = lstm.backward(dh)
    return (dxs, *(grads[name] for name in ("Wf", "Wi", "Wc", "Wo", "bf", "bi", "bc", "bo")))
