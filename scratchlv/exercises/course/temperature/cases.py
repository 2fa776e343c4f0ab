import numpy as np

from scratchlv.exercises import call


def cases(rng, N, V):
    z = np.log([[1.0, 2.0, 4.0]])
    yield call("probabilities", case="the example, τ = 1, all words", logits=z, temperature=1.0, k=3)
    yield call("probabilities", case="the example, τ = 1/2, all words", logits=z, temperature=0.5, k=3)
    yield call("probabilities", case="the example, τ = 1/2, the best two", logits=z, temperature=0.5, k=2)
    logits = rng.standard_normal((N, V))
    yield call("probabilities", case=f"N = {N}, V = {V}, τ = 2", logits=logits, temperature=2.0, k=V)
    yield call("probabilities", case="τ = 0.7, half of the words", logits=logits, temperature=0.7, k=max(V // 2, 1))
    yield call("probabilities", case="the best word alone", logits=logits, temperature=1.3, k=1)
    equal = np.array([[1.0, 2.0, 2.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    yield call("probabilities", case="words with equal scores", logits=equal, temperature=1.0, k=2)
    large = 1000 * logits
    yield call("probabilities", case="scores of a thousand, τ = 0.1", logits=large, temperature=0.1, k=max(V - 1, 1))

    p = np.array([[0.5, 0.25, 0.25]] * 4)
    yield call("sample", case="the example", p=p, u=np.array([0.0, 0.4, 0.5, 0.9]))
    p = rng.random((N, V)) ** 3 + 0.01
    p /= p.sum(axis=1, keepdims=True)
    yield call("sample", case=f"N = {N}, V = {V}", p=p, u=rng.random(N))
    ends = np.array([[0.0, 0.75, 0.25, 0.0]] * 3)
    yield call("sample", case="the first and the last word have p = 0", p=ends, u=np.array([0.0, 0.75, 1 - 2.0**-53]))
    tenths = np.array([[0.1] * 10 + [0.0]])
    yield call("sample", case="ten times 0.1, which sums to a little less than 1", p=tenths, u=np.array([1 - 2.0**-53]))
