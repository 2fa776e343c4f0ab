import numpy as np

from scratchlv.exercises import pair


def inputs(rng, T, N, D, H):
    return {
        "x": rng.standard_normal((T, N, D)),
        "h0": rng.uniform(-0.9, 0.9, (N, H)),
        "Wx": 0.5 * rng.standard_normal((D, H)),
        "Wh": 0.5 * rng.standard_normal((H, H)),
        "b": 0.5 * rng.standard_normal(H),
    }


def cases(rng, T, N, D, H):
    one = {"h0": np.zeros((1, 1)), "Wx": np.ones((1, 1)), "Wh": np.ones((1, 1)), "b": np.zeros(1)}
    yield pair("forward", "backward", case="the example", x=np.log([[[2.0]], [[1.0]]]), **one)
    yield pair("forward", "backward", case="one step", **inputs(rng, 1, 1, 1, 1))
    yield pair("forward", "backward", case="two steps of one number", **inputs(rng, 2, 1, 1, 1))
    yield pair("forward", "backward", **inputs(rng, T, N, D, H))
    yield pair("forward", "backward", case="one sequence", **inputs(rng, T, 1, D, H))
    yield pair("forward", "backward", case="a longer sequence", **inputs(rng, 3 * T, N, D, H))
