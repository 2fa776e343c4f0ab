"""Softmax's maximum and sum in one pass over the scores.

    m = max_j x_j        s = Σ_j exp(x_j − m)        p_j = exp(x_j − m) / s

Written so, the scores are read once for m and once more for s. But m need not
be known beforehand. Keep the maximum of what was read so far, and the sum that
belongs to it. When a score x is larger than m, the sum so far has the wrong
maximum in it, and one factor mends that, for all of its terms at once:

    exp(x_j − m_new) = exp(x_j − m_old) · exp(m_old − m_new)

An example, x = (ln 2, ln 4, ln 8):

    after x_0 = ln 2    m = ln 2    s = 1
    after x_1 = ln 4    m = ln 4    s = 1 · exp(ln 2 − ln 4) + 1 = 1.5
    after x_2 = ln 8    m = ln 8    s = 1.5 · exp(ln 4 − ln 8) + 1 = 1.75

    >>> m, s = max_and_sum(np.log(np.array([2.0, 4.0, 8.0])))
    >>> round(m, 4), round(s, 4)
    (2.0794, 1.75)

`max_and_sum(x)`: x (D,) -> the two numbers m and s. It reads each x[j] once:
keep it in a variable if it is needed twice. The check counts.

A score may be −∞ (a word that must not come): it adds nothing, exp(−∞) = 0.
All the scores of a piece may be, then m = −∞ and s = 0. Beware: −∞ − (−∞) is
NaN.

`merge(m1, s1, m2, s2)`: two pieces of one row were read by two threads, say,
and gave (m1, s1) and (m2, s2). It returns the m and s of both together.

    >>> m, s = merge(np.log(2.0), 1.5, np.log(4.0), 1.0)
    >>> round(m, 4), round(s, 4)
    (1.3863, 1.75)

`softmax`, below, is given: it uses the first.

Why: attention over thousands of words is bound by reading its scores. Read
once, in pieces that are merged, they need not even be stored: that is the
trick of FlashAttention.
"""

import math

import numpy as np  # noqa: F401  the examples above need it
from numba import njit


@njit
def max_and_sum(x):
    """x (D,) -> m, s."""
    # <solution>
    m, s = -math.inf, 0.0
    for j in range(x.size):
        score = x[j]
        if score > m:
            s = s * math.exp(m - score) + 1.0
            m = score
        elif score > -math.inf:
            s += math.exp(score - m)
    return m, s
    # </solution>


@njit
def merge(m1, s1, m2, s2):
    """The maximum and the sum of two pieces -> those of both together."""
    # <solution>
    m = max(m1, m2)
    s = 0.0
    if m1 > -math.inf:
        s += s1 * math.exp(m1 - m)
    if m2 > -math.inf:
        s += s2 * math.exp(m2 - m)
    return m, s
    # </solution>


@njit
def softmax(x, p):
    """x (N, D) -> into p (N, D). No row is all −∞."""
    for n in range(x.shape[0]):
        m, s = max_and_sum(x[n])
        for j in range(x.shape[1]):
            p[n, j] = math.exp(x[n, j] - m) / s
