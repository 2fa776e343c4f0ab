"""Cross-entropy: how surprised the scores are by the truth.

Of N rows of scores z (the logits), the class t_n is the right one in row n.
With p = softmax(z), the loss is the mean surprise:

    L = (1/N) Σ_n −log p_n[t_n]        p_n = softmax(z_n)

It is 0 if all the probability lies on the right class, log V if all of the
V classes are equally likely, and it has no upper end.

What the functions get and return:

    forward(logits, targets)   logits (N, V), targets (N,) integers
                               -> loss, a number; cache
    backward(dloss, cache)     dloss, a number -> dlogits (N, V)

targets are classes, 0 to V − 1, and have no gradient. dloss is the gradient
of what follows by this loss: a factor, and 1 if nothing follows.

Do not compute p and then its logarithm: a p that is rounded to 0 has the
logarithm −∞. Take both together. With m, the largest score of the row,

    log Σ_j exp(z_j) = m + log Σ_j exp(z_j − m)

which neither overflows nor meets log 0.

A tiny example: the scores 0 and log 3 have the probabilities 1/4 and 3/4.
If class 1 is right, the loss is −log(3/4):

    >>> logits = np.array([[0.0, np.log(3.0)]])
    >>> loss, cache = forward(logits, np.array([1]))
    >>> round(float(loss), 4)
    0.2877

The gradient lifts the right score (going down the slope), and lowers the
other one. It adds up to 0:

    >>> backward(1.0, cache).round(4).tolist()
    [[0.25, -0.25]]

Why one wants it: it is the loss of a language model, a captioner, and a
question answerer. exp(L) is the perplexity.
"""

import numpy as np


def forward(logits, targets):
    """logits (N, V), targets (N,) integers -> the mean of −log softmax(logits)[target], a number; cache."""
    # <solution>
    N = len(targets)
    z = logits - logits.max(axis=1, keepdims=True)  # softmax stays the same, and exp cannot overflow
    e = np.exp(z)  # (N, V)
    total = e.sum(axis=1)  # (N,), at least 1: its logarithm is harmless
    losses = np.log(total) - z[np.arange(N), targets]  # −log p[t]; what was subtracted from z cancels
    return losses.sum() / N, (e / total[:, None], targets)
    # </solution>


def backward(dloss, cache):
    """dloss, a number -> dlogits (N, V)."""
    # <solution>
    p, targets = cache
    N = len(targets)
    dz = p.copy()  # the cache stays as it is
    dz[np.arange(N), targets] -= 1  # one element of each row
    return dloss * dz / N
    # </solution>
