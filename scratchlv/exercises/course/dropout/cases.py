import numpy as np

from scratchlv.exercises import pair


def cases(rng, T, N, D):
    x, u = np.array([4.0, 8.0, -2.0]), np.array([0.5, 0.1, 0.2])
    yield dropped("the example", x, u, 0.2, True)
    yield dropped("the example, not in training", x, u, 0.2, False)
    yield dropped("a matrix, p = 0.3", rng.standard_normal((N, D)), mixed(rng, 0.3, N, D), 0.3, True)
    yield dropped("three axes, p = 0.7", rng.standard_normal((T, N, D)), mixed(rng, 0.7, T, N, D), 0.7, True)
    yield dropped("three axes, not in training", rng.standard_normal((T, N, D)), mixed(rng, 0.7, T, N, D), 0.7, False)
    yield dropped("p = 0, and u has a zero", rng.standard_normal((1, D)), np.arange(D)[None] / D, 0.0, True)
    single = rng.standard_normal((N, D)).astype(np.float32)
    yield dropped("float32 in, float32 out", single, mixed(rng, 0.5, N, D), 0.5, True)


def dropped(case, x, u, p, train):
    return pair("forward", "backward", case=case, fixed=["u"], x=x, u=u, p=p, train=train)


def mixed(rng, p, *shape):
    """Even numbers; the first is p itself, the second above it, the third below it."""
    u = rng.random(shape)
    few = [p, (1 + p) / 2, p / 2][: u.size]
    u.flat[: len(few)] = few
    return u
