"""The doubly stochastic penalty: look at every part of the picture once.

Why: α sums to 1 over the regions at each word. Nothing says that every region
is looked at by some word; a decoder may stare at one spot. Show, Attend and
Tell adds a penalty to the loss that is small if Σ_t α_tl is about 1 for each
region l:

    S_nl = Σ_t mask_tn α_tnl            how much region l was looked at
    P    = λ / N · Σ_n Σ_l (1 − S_nl)²  sum over regions, mean over sentences

mask_tn is True where sentence n has a word at step t, and False past its end:
the α of such a step are numbers without a meaning, and must not count.

forward(alpha, mask, lam) -> P, cache
    alpha  (T, N, L)   steps, sentences, regions
    mask   (T, N)      bool
    lam    a number    λ
    P      a number

backward(dP, cache) -> dalpha
    dP     a number    the gradient of the loss by P
    dalpha (T, N, L)

A tiny example, one sentence, two regions, three steps of which the last is
padding; λ = 1:

    α = (0.5, 0.5), (0.9, 0.1), (0.2, 0.8);   mask = True, True, False
    S = 1.4, 0.6          P = 0.4² + 0.4² = 0.32
    dα = 0.8, −0.8 for the first two steps, 0 for the third

    >>> alpha = np.array([[[0.5, 0.5]], [[0.9, 0.1]], [[0.2, 0.8]]])
    >>> mask = np.array([[True], [True], [False]])
    >>> P, cache = forward(alpha, mask, 1.0)
    >>> round(float(P), 6)
    0.32
    >>> (backward(1.0, cache)[:, 0].round(6) + 0).tolist()
    [[0.8, -0.8], [0.8, -0.8], [0.0, 0.0]]

A step down this slope takes from the region that was looked at too much, and
gives to the other.
"""

import numpy as np


def forward(alpha, mask, lam):
    """alpha (T, N, L), mask (T, N), lam a number -> P, a number, and a cache."""
    # <solution>
    S = (alpha * mask[:, :, None]).sum(axis=0)  # (N, L)
    rest = 1 - S
    P = lam * (rest**2).sum() / alpha.shape[1]
    return P, (rest, mask, lam)
    # </solution>


def backward(dP, cache):
    """dP, a number -> dalpha (T, N, L)."""
    # <solution>
    rest, mask, lam = cache
    N = rest.shape[0]
    dS = dP * lam * -2 * rest / N  # (N, L)
    return np.where(mask[:, :, None], dS, 0)  # (T, N, L): each word had its share in S
    # </solution>
