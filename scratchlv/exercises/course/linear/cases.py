import numpy as np

from scratchlv.exercises import pair


def cases(rng, T, N, D, M):
    W, b = rng.standard_normal((D, M)), rng.standard_normal(M)
    small = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    yield pair("forward", "backward", x=np.array([[1.0, 2.0]]), W=small, b=np.array([0.5, 0.0, 0.0]))
    yield pair("forward", "backward", x=rng.standard_normal((N, D)), W=W, b=b)
    yield pair("forward", "backward", case="two axes before the last", x=rng.standard_normal((T, N, D)), W=W, b=b)
    yield pair("forward", "backward", case="no axis before the last", x=rng.standard_normal(D), W=W, b=b)
    yield pair("forward", "backward", case="three axes before it", x=rng.standard_normal((2, T, N, D)), W=W, b=b)
    square = rng.standard_normal((D, D))
    yield pair(
        "forward", "backward", case="a square W", x=rng.standard_normal((N, D)), W=square, b=rng.standard_normal(D)
    )
