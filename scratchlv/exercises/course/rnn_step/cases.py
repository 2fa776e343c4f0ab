import numpy as np

from scratchlv.exercises import pair


def inputs(rng, N, D, H):
    return {
        "x": rng.standard_normal((N, D)),
        "h": rng.uniform(-0.9, 0.9, (N, H)),
        "Wx": 0.5 * rng.standard_normal((D, H)),
        "Wh": 0.5 * rng.standard_normal((H, H)),
        "b": 0.5 * rng.standard_normal(H),
    }


def cases(rng, N, D, H):
    one = {"Wx": np.array([[1.0]]), "Wh": np.array([[2.0]]), "b": np.array([0.0])}
    yield pair("forward", "backward", x=np.array([[np.log(2.0) - 1]]), h=np.array([[0.5]]), **one)
    yield pair("forward", "backward", case="one sequence, a state of two numbers", **inputs(rng, 1, 1, 2))
    yield pair("forward", "backward", **inputs(rng, N, D, H))
    yield pair("forward", "backward", case="as many inputs as states", **inputs(rng, N, H, H))
    nothing = inputs(rng, N, D, H) | {"x": np.zeros((N, D))}
    yield pair("forward", "backward", case="nothing is seen", **nothing)
