import numpy as np

from scratchlv.exercises import pair


def cases(rng, T, N, D, H):
    yield pair(
        "forward",
        "backward",
        case="the example",
        x=np.ones((2, 1, 1)),
        h0=np.zeros((1, 1)),
        c0=np.ones((1, 1)),
        Wx=np.log([[3.0, 1.0, 2.0, 3.0]]),
        Wh=np.zeros((1, 4)),
        b=np.zeros(4),
    )
    yield pair("forward", "backward", case="two steps of one number", **inputs(rng, 2, 1, 1, 1))
    yield pair("forward", "backward", case=f"T = {T}, N = {N}, D = {D}, H = {H}", **inputs(rng, T, N, D, H))
    yield pair("forward", "backward", case="a single step", **inputs(rng, 1, N, D, H))
    yield pair("forward", "backward", case="as many inputs as units", **inputs(rng, T, N, H, H))
    yield pair("forward", "backward", case="float32 in, float32 out", **single(inputs(rng, T, N, D, H)))


def inputs(rng, T, N, D, H):
    """The first state is not zero, so that what comes back to it shows."""
    shapes = {"x": (T, N, D), "h0": (N, H), "c0": (N, H), "Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def single(arrays):
    return {name: array.astype(np.float32) for name, array in arrays.items()}
