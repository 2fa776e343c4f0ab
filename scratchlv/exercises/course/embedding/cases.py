import numpy as np

from scratchlv.exercises import pair


def cases(rng, T, N, V, E):
    small = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    yield pair("forward", "backward", tokens=np.array([2, 0, 2]), W=small)
    W = rng.standard_normal((V, E))
    once = rng.permutation(V)
    yield pair("forward", "backward", case="each word once", tokens=once, W=W)
    few = rng.integers(max(V // 2, 1), size=(T, N))  # the last words do not occur
    yield pair("forward", "backward", case="two axes, with words that occur often or not at all", tokens=few, W=W)
    yield pair("forward", "backward", case="one word everywhere", tokens=np.full((T, N), V - 1), W=W)
    yield pair("forward", "backward", case="three axes", tokens=rng.integers(V, size=(2, T, N)), W=W)
    yield pair("forward", "backward", case="a single word, no axis at all", tokens=np.array(V // 2), W=W)
