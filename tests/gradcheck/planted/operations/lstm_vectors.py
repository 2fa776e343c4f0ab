"""LSTM over one sequence of vectors, with lists of what each step leaves; all states are the output."""

import numpy as np

STYLE = "closure"
SIZES = {"T": 5, "D": 3, "H": 2}


def make_inputs(T=5, D=3, H=2, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(T, D)),
        "h0": rng.normal(size=H),
        "c0": rng.normal(size=H),
        "W": rng.normal(size=(4, H, D + H)),
        "b": rng.normal(size=(4, H)),
    }


def sigm(a):
    return 1 / (1 + np.exp(-a))


def make_lstm():
    def forward(x, h0, c0, W, b):
        h, c, outputs, tape = h0, c0, [], []
        for t in range(len(x)):
            xh = np.concatenate([x[t], h])
            f = sigm(W[0] @ xh + b[0])
            i = sigm(W[1] @ xh + b[1])
            o = sigm(W[2] @ xh + b[2])
            g = np.tanh(W[3] @ xh + b[3])
            c_new = f * c + i * g
            tc = np.tanh(c_new)
            tape.append((xh, f, i, o, g, c, tc))
            h, c = o * tc, c_new
            outputs.append(h)
        return np.array(outputs), (tape, W, b)

    def backward(douts, cache):
        tape, W, b = cache
        dW, db = np.zeros_like(W), np.zeros_like(b)
        D = W.shape[2] - W.shape[1]
        dx = np.zeros((len(tape), D))
        dh, dc = np.zeros(W.shape[1]), np.zeros(W.shape[1])
        for t in range(len(tape) - 1, -1, -1):
            xh, f, i, o, g, c_old, tc = tape[t]
            dh = dh + douts[t]
            dc = dc + dh * o * (1 - tc * tc)
            da = [dc * c_old * f * (1 - f), dc * g * i * (1 - i), dh * tc * o * (1 - o), dc * i * (1 - g * g)]
            dxh = 0
            for k in range(4):
                dW[k] += np.outer(da[k], xh)
                db[k] += da[k]
                dxh = dxh + W[k].T @ da[k]
            dx[t], dh = dxh[:D], dxh[D:]
            dc = dc * f
        return dx, dh, dc, dW, db

    return forward, backward


forward, backward = make_lstm()
