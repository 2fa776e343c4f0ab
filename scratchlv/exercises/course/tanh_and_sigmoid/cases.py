import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, D):
    small = {"tanh": np.array([0.0, np.log(2.0)]), "sigmoid": np.array([0.0, np.log(3.0)])}
    for name in ("tanh", "sigmoid"):
        forward, backward = f"{name}_forward", f"{name}_backward"
        yield pair(forward, backward, a=small[name])
        yield pair(forward, backward, case="a matrix", a=rng.standard_normal((N, D)))
        yield pair(forward, backward, case="three axes", a=rng.standard_normal((2, N, D)))
        large = np.array([1000.0, 0.5, 0.25])
        yield pair(forward, backward, case="one a is large", a=large)
        yield pair(forward, backward, case="one a is very negative", a=-large)
