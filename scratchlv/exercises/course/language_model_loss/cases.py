import numpy as np

from scratchlv.exercises import call, pair


def cases(rng, T, N, V):
    yield call("shift", case="the example", sentences=[[5, 6, 7], [8]])
    yield call("shift", case="a single sentence of one word", sentences=[[9]])
    lists = [rng.integers(3, V + 3, n).tolist() for n in [T - 1, *rng.integers(0, T, N - 1)]]
    yield call("shift", case=f"{N} sentences of {', '.join(str(len(words)) for words in lists)} words", sentences=lists)
    yield call("shift", case="the first sentence has no word", sentences=[[], [4, 3]])

    few, padded = np.array([[0, 1], [2, 0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    yield masked("two sentences, one of them with padding", rng.standard_normal((2, 2, 3)), few, padded)
    mask = (np.arange(T)[:, None] < np.array([T, 1, *rng.integers(1, T + 1, N)])[:N]).astype(float)
    targets = rng.integers(0, V, (T, N))
    yield masked(f"T = {T}, N = {N}, V = {V}", rng.standard_normal((T, N, V)), targets, mask)
    some = mask.copy()
    some[:, 0] = 0
    some[0, -1] = 1
    yield masked("a sentence that does not count at all", rng.standard_normal((T, N, V)), targets, some)
    yield masked("nothing is masked", rng.standard_normal((T, N, V)), targets, np.ones((T, N)))

    yield call("perplexity", case="the example", losses=[np.log(2).item(), np.log(4).item()], words=[1, 3])
    yield call("perplexity", case="one batch", losses=[1.5], words=[7])
    words = rng.permutation([10 * (k + 1) for k in range(N)])
    yield call("perplexity", case=f"{N} batches", losses=rng.uniform(1, 3, N).tolist(), words=words.tolist())


def masked(case, logits, targets, mask):
    return pair("forward", "backward", case=case, fixed=["mask"], logits=logits, targets=targets, mask=mask)
