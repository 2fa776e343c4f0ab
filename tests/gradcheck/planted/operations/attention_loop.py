"""One query for each example attends over memory vectors, with a learnt projection; a loop over the batch."""

import numpy as np

STYLE = "closure"
SIZES = {"N": 3, "S": 4, "D": 2}


def make_inputs(N=3, S=4, D=2, seed=0):
    rng = np.random.default_rng(seed)
    return {"query": rng.normal(size=(N, D)), "memory": rng.normal(size=(N, S, D)), "Wq": rng.normal(size=(D, D))}


def make_attention():
    def forward(query, memory, Wq):
        contexts, cache = [], []
        for q, M in zip(query, memory, strict=True):
            k = Wq @ q
            e = M @ k
            a = np.exp(e - e.max())
            a = a / a.sum()
            contexts.append(a @ M)
            cache.append((q, M, k, a))
        return np.stack(contexts), (cache, Wq)

    def backward(dcontext, cache):
        examples, Wq = cache
        dquery, dmemory, dWq = [], [], np.zeros_like(Wq)
        for dc, (q, M, k, a) in zip(dcontext, examples, strict=True):
            da = M @ dc
            de = a * (da - a @ da)
            dM = np.outer(a, dc) + np.outer(de, k)
            dk = M.T @ de
            dWq += np.outer(dk, q)
            dquery.append(Wq.T @ dk)
            dmemory.append(dM)
        return np.stack(dquery), np.stack(dmemory), dWq

    return forward, backward


forward, backward = make_attention()
