"""Regions that all count, masks, scores of a thousand, one region."""

import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, L, D, K):
    def attention(case, mask, x=None, keys=None, query=None, dtype=float):
        N, L = mask.shape
        x = rng.standard_normal((N, L, D)) if x is None else x
        keys = rng.standard_normal((N, L, K)) if keys is None else keys
        query = rng.standard_normal((N, K)) if query is None else query
        arrays = {"x": x.astype(dtype), "keys": keys.astype(dtype), "query": query.astype(dtype)}
        return pair("forward", "backward", case=case, **arrays, mask=mask)

    yield attention(
        "three regions",
        np.ones((1, 3), bool),
        x=np.array([[[4.0], [8], [6]]]),
        keys=np.array([[[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 2]]]),
        query=np.array([[2.0, 1, 0, -1]]),
    )
    yield attention("all regions count", np.ones((N, L), bool))
    some = rng.random((N, L)) < 0.5
    some[0], some[:, L // 2], some[1, 0] = True, True, False
    yield attention("some regions are masked", some)

    # a part of the scores that is the same for all regions: it must not matter
    x, keys, query = (rng.standard_normal(shape) for shape in ((N, L, D), (N, L, K), (N, K)))
    keys[:, :, 0], query[:, 0] = 1.0, 1000 * (-1.0) ** np.arange(N) * np.sqrt(K)
    yield attention("scores of a thousand, and of minus a thousand", np.ones((N, L), bool), x, keys, query)
    yield attention("the same, masked", some, x, keys, query)

    far = np.where(some[:, :, None], 1.0, 30.0) * rng.standard_normal((N, L, K))
    yield attention("the largest scores are masked", some, keys=far)
    yield attention("one region", np.ones((N, 1), bool))
    yield attention("float32", some, dtype=np.float32)
