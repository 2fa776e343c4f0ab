"""Sentences of one length and of several, an empty one, attention that is even."""

import numpy as np

from scratchlv.exercises import pair


def cases(rng, T, N, L):
    def penalty(case, lengths, T=T, L=L, lam=1.0, sharpness=1.0):
        mask = np.arange(T)[:, None] < np.asarray(lengths)  # (T, N)
        p = np.exp(sharpness * rng.standard_normal((T, len(lengths), L)))
        alpha = p / p.sum(axis=2, keepdims=True)
        return pair("forward", "backward", case=case, alpha=alpha, mask=mask, lam=lam)

    tiny = np.array([[[0.5, 0.5]], [[0.75, 0.25]]])
    yield pair("forward", "backward", case="two steps", alpha=tiny, mask=np.ones((2, 1), bool), lam=1.0)
    yield penalty("several sentences of one length, λ = 0.3", [T] * N, lam=0.3)
    yield penalty("sentences of several lengths", [T - n % T for n in range(N)], lam=2.0)
    yield penalty("a sentence without words", [T, 0, T - 1], lam=0.5)
    yield penalty("one step, one region", [1, 0], T=1, L=1)
    yield penalty("attention that is nearly one-hot", [T, T - 1], sharpness=6.0)
