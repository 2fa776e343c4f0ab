import numpy as np

from scratchlv.exercises import call, source


def cases(rng, N, D):
    yield call("slope", f=source("lambda x: x * x * x"), x=1.0, h=0.5)
    yield call("slope", f=source("lambda x: math.exp(math.sin(x))"), x=float(rng.uniform(0.5, 1)), h=0.01)
    yield call("slope", case="a falling line", f=source("lambda x: 2 - 3 * x"), x=float(rng.standard_normal()), h=0.25)

    yield call("gradient", f=source("lambda x: x[0] * x[1] * x[1]"), x=np.array([2.0, 3.0]), h=0.5)
    yield call("gradient", f=source("lambda x: np.exp(x).sum()"), x=rng.standard_normal(D), h=0.01)
    yield call("gradient", case="a matrix", f=source("lambda x: np.sin(x).sum()"), x=rng.standard_normal((N, D)), h=0.1)
    yield call(
        "gradient",
        case="each element's slope depends on all the others",
        f=source("lambda x: np.tanh(x).sum() * np.exp(0.1 * x).sum()"),
        x=rng.standard_normal((N, D)),
        h=0.1,
    )
    yield call(
        "gradient",
        case="three axes",
        f=source("lambda x: (x * x * np.arange(x.size).reshape(x.shape)).sum()"),
        x=rng.standard_normal((N, 2, D)),
        h=0.001,
    )
    yield call("gradient", case="one element", f=source("lambda x: 1 / x[0]"), x=rng.uniform(1, 2, 1), h=0.1)
    yield call("gradient", case="at a kink, |x| at 0", f=source("lambda x: abs(x).sum()"), x=np.zeros(N), h=0.1)
