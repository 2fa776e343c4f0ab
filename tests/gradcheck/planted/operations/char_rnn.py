"""Language model over one sequence of characters: embedding rows, tanh state, softmax at each step, summed loss."""

import numpy as np

STYLE = "class"
SIZES = {"T": 5, "V": 4, "H": 3}


def make_inputs(T=5, V=4, H=3, seed=0):
    rng = np.random.default_rng(seed)
    text = rng.integers(0, V, size=T + 1)
    return {
        "chars": text[:-1],
        "targets": text[1:],
        "h_start": rng.normal(size=H),
        "Wxh": rng.normal(size=(H, V)),
        "Whh": rng.normal(size=(H, H)),
        "Why": rng.normal(size=(V, H)),
        "bh": rng.normal(size=H),
        "by": rng.normal(size=V),
    }


class CharRNN:
    def __init__(self, Wxh, Whh, Why, bh, by):
        self.Wxh, self.Whh, self.Why, self.bh, self.by = Wxh, Whh, Why, bh, by

    def loss(self, inputs, targets, hprev):
        self.inputs, self.targets = inputs, targets
        self.xs, self.hs, self.ps = {}, {-1: hprev}, {}
        loss = 0.0
        for t in range(len(inputs)):
            self.xs[t] = np.zeros(self.Wxh.shape[1])
            self.xs[t][inputs[t]] = 1
            self.hs[t] = np.tanh(self.Wxh @ self.xs[t] + self.Whh @ self.hs[t - 1] + self.bh)
            y = self.Why @ self.hs[t] + self.by
            self.ps[t] = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
            loss += -np.log(self.ps[t][targets[t]])
        return loss

    def backward(self, dloss):
        dWxh, dWhh, dWhy = np.zeros_like(self.Wxh), np.zeros_like(self.Whh), np.zeros_like(self.Why)
        dbh, dby = np.zeros_like(self.bh), np.zeros_like(self.by)
        dhnext = np.zeros_like(self.hs[0])
        for t in reversed(range(len(self.inputs))):
            dy = np.copy(self.ps[t])
            dy[self.targets[t]] -= 1
            dy *= dloss
            dWhy += np.outer(dy, self.hs[t])
            dby += dy
            dh = self.Why.T @ dy + dhnext
            dhraw = (1 - self.hs[t] * self.hs[t]) * dh
            dbh += dhraw
            dWxh += np.outer(dhraw, self.xs[t])
            dWhh += np.outer(dhraw, self.hs[t - 1])
            dhnext = self.Whh.T @ dhraw
        return dhnext, dWxh, dWhh, dWhy, dbh, dby


def forward(chars, targets, h_start, Wxh, Whh, Why, bh, by):
    model = CharRNN(Wxh, Whh, Why, bh, by)
    return model.loss(chars, targets, h_start), model


def backward(dloss, model):
    return model.backward(dloss)
