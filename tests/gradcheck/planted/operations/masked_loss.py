"""Cross-entropy over the words of sentences, those that the mask keeps."""

import numpy as np

STYLE = "functions"
SIZES = {"N": 3, "T": 5, "V": 4}


def make_inputs(N=3, T=5, V=4, seed=0):
    rng = np.random.default_rng(seed)
    mask = rng.random((N, T)) < 0.6
    mask[:, 0] = True
    if T > 1:
        mask[0, -1] = False
    return {"logits": rng.normal(size=(N, T, V)), "y": rng.integers(0, V, (N, T)), "mask": mask}


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def forward(logits, y, mask):
    N, T, V = logits.shape
    p = softmax(logits).reshape(N * T, V)
    log_p = np.log(p[np.arange(N * T), y.ravel()])
    loss = -(mask.ravel() * log_p).sum() / mask.sum()
    return loss, (p, y, mask)


def backward(dloss, cache):
    p, y, mask = cache
    N, T = mask.shape
    dlogits = p.copy()
    dlogits[np.arange(N * T), y.ravel()] -= 1
    dlogits *= mask.reshape(-1, 1)
    dlogits /= mask.sum()
    return dloss * dlogits.reshape(N, T, -1)
