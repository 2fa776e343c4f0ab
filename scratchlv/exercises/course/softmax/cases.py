import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, V):
    yield pair("forward", "backward", scores=np.array([[0.0, np.log(3.0)], [0.0, 0.0]]))
    yield pair("forward", "backward", scores=rng.standard_normal((N, V)))
    yield pair("forward", "backward", case="all scores are equal", scores=np.full((N, V), 2.0))
    large = 1000 + rng.standard_normal((N, V))
    yield pair("forward", "backward", case="scores of a thousand", scores=large)
    steps = np.linspace(0, -3000, N + 1)[:, None]
    yield pair("forward", "backward", case="rows that are far apart", scores=steps + rng.standard_normal((N + 1, V)))
    far = 10_000 * rng.standard_normal((N, V))
    twice = np.concatenate([far, far.max(axis=1, keepdims=True)], axis=1)
    yield pair("forward", "backward", case="scores that are far apart, the largest one twice", scores=twice)
    yield pair("forward", "backward", case="one class", scores=rng.standard_normal((N, 1)))
