"""Softmax: scores become probabilities.

    p_i = exp(s_i) / Σ_j exp(s_j)

The higher a score, the larger its probability; each p lies between 0 and 1,
and those of a row add up to 1. N rows are computed at once, and none
knows of the others.

What the functions get and return:

    forward(scores)       scores (N, V) -> p (N, V), cache
    backward(dp, cache)   dp (N, V)     -> dscores (N, V)

The cache is whatever backward needs; you decide what it is. dp is the
gradient of the loss L by p, dp_i = ∂L/∂p_i, and dscores that by the scores.
Since all p of a row depend on each score of the row, the chain rule sums:

    ds_i = Σ_j dp_j ∂p_j/∂s_i

Find ∂p_j/∂s_i, and simplify: the whole is one line, without a loop.

Scores may be large. exp(1000) is infinite, and ∞/∞ is not a number; but
softmax is the same if a constant is added to all scores of a row:
softmax(s) = softmax(s + c). Choose c so that nothing can overflow.

A tiny example, exp(0) = 1 and exp(log 3) = 3, so p = 1/4 and 3/4:

    >>> p, cache = forward(np.array([[0.0, np.log(3.0)]]))
    >>> p.round(4).tolist()
    [[0.25, 0.75]]

The slope of p_0 by s_0 is 3/16, and by s_1 it is −3/16:

    >>> backward(np.array([[1.0, 0.0]]), cache).round(4).tolist()
    [[0.1875, -0.1875]]

Why one wants it: the next word, the answer, the region that is looked at:
all of them are chosen by a softmax over scores.
"""

import numpy as np


def forward(scores):
    """scores (N, V) -> p (N, V), cache."""
    # <solution>
    e = np.exp(scores - scores.max(axis=1, keepdims=True))  # the largest of a row is exp(0) = 1
    p = e / e.sum(axis=1, keepdims=True)
    return p, p
    # </solution>


def backward(dp, cache):
    """dp (N, V) -> dscores (N, V)."""
    # <solution>
    p = cache
    return p * (dp - (dp * p).sum(axis=1, keepdims=True))  # ∂p_j/∂s_i = p_i ([i = j] − p_j), summed over j
    # </solution>
