"""Batches of several sizes, a channel that is constant, one with a large mean; the running statistics; evaluation."""

import numpy as np

from scratchlv.exercises import call, pair


def cases(rng, N, H, W, C):
    def norm(case, x, eps=1e-5, dtype=float):
        C = x.shape[3]
        gamma, beta = rng.uniform(0.5, 2, C), rng.standard_normal(C)
        gamma, beta = gamma.astype(dtype), beta.astype(dtype)
        return pair("forward", "backward", case=case, x=x.astype(dtype), gamma=gamma, beta=beta, eps=eps)

    def maps(n, h, w, c):
        return 3 * rng.standard_normal((n, h, w, c)) + rng.standard_normal(c)

    tiny = np.array([1.0, 5, 3, 4]).reshape(4, 1, 1, 1)
    yield pair(
        "forward", "backward", case="four numbers", x=tiny, gamma=np.array([10.0]), beta=np.array([2.0]), eps=0.5
    )
    yield norm("several pixels and channels", maps(N, H, W, C))
    yield norm("an eps as large as the variance", maps(N, H, W, C), eps=9.0)
    yield norm("one picture", maps(1, H, W, C + 1))
    yield norm("pictures of one pixel", maps(N + 2, 1, 1, C))
    yield norm("a mean of ten thousand", maps(N, H, W, C) + 1e4)
    yield norm("float32", maps(N, H, W, C), dtype=np.float32)

    constant = np.concatenate([np.full((N, H, W, 1), 2.0), maps(N, H, W, 1)], axis=3)
    yield norm("a channel that is constant", constant)

    mean, var = rng.standard_normal(C), rng.uniform(0.5, 2, C)
    yield call("update", running_mean=np.zeros(1), running_var=np.ones(1), x=tiny, momentum=0.1)
    yield call("update", running_mean=mean, running_var=var, x=maps(N, H, W, C), momentum=0.3)

    gamma, beta = rng.uniform(0.5, 2, C), rng.standard_normal(C)
    for case, x in (("a batch", maps(N, H, W, C)), ("a single pixel", maps(1, 1, 1, C))):
        yield call("evaluate", case=case, x=x, gamma=gamma, beta=beta, running_mean=mean, running_var=var, eps=1e-3)
