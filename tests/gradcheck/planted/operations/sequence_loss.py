"""RNN language model with lengths: loss averaged over the words of each sentence, then over sentences."""

import numpy as np

STYLE = "class"
SIZES = {"N": 3, "T": 4, "H": 2, "V": 5}


def make_inputs(N=3, T=4, H=2, V=5, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, T + 1, size=N)
    lengths[0] = T
    if N > 1:
        lengths[1] = max(1, T - 2)
    return {
        "x": rng.normal(size=(N, T, H)),
        "targets": rng.integers(0, V, size=(N, T)),
        "lengths": lengths,
        "Wh": rng.normal(size=(H, H)),
        "Wo": rng.normal(size=(H, V)),
        "bo": rng.normal(size=V),
    }


class LanguageModel:
    def __init__(self, Wh, Wo, bo):
        self.Wh, self.Wo, self.bo = Wh, Wo, bo

    def forward(self, x, targets, lengths):
        N, T, H = x.shape
        self.targets, self.lengths = targets, lengths
        self.mask = np.arange(T)[None, :] < lengths[:, None]
        self.hs = [np.zeros((N, H))]
        for t in range(T):
            self.hs.append(np.tanh(x[:, t] + self.hs[t] @ self.Wh))
        self.states = np.stack(self.hs[1:], axis=1)
        logits = self.states @ self.Wo + self.bo
        e = np.exp(logits - logits.max(axis=2, keepdims=True))
        self.probs = e / e.sum(axis=2, keepdims=True)
        n, t = np.indices((N, T))
        losses = -np.log(self.probs[n, t, targets]) * self.mask
        return np.mean(losses.sum(axis=1) / lengths)

    def backward(self, dloss):
        N, T, V = self.probs.shape
        n, t = np.indices((N, T))
        dlogits = self.probs.copy()
        dlogits[n, t, self.targets] -= 1
        dlogits *= self.mask[:, :, None]
        dlogits *= dloss / (N * self.lengths[:, None, None])
        self.dbo = dlogits.sum(axis=(0, 1))
        self.dWo = np.einsum("nth,ntv->hv", self.states, dlogits)
        dstates = dlogits @ self.Wo.T
        self.dWh = np.zeros_like(self.Wh)
        dx = np.zeros_like(dstates)
        dh = np.zeros_like(dstates[:, 0])
        for t in range(T - 1, -1, -1):
            dh = dh + dstates[:, t]
            dx[:, t] = dh * (1 - self.hs[t + 1] ** 2)
            self.dWh += self.hs[t].T @ dx[:, t]
            dh = dx[:, t] @ self.Wh.T
        return dx


def forward(x, targets, lengths, Wh, Wo, bo):
    model = LanguageModel(Wh, Wo, bo)
    return model.forward(x, targets, lengths), model


def backward(dloss, model):
    dx = model.backward(dloss)
    return dx, model.dWh, model.dWo, model.dbo
