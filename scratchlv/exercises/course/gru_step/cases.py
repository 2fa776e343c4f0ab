import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, D, H):
    yield pair(
        "forward",
        "backward",
        case="the example",
        x=np.array([[1.0]]),
        h_prev=np.array([[1.0]]),
        Wx=np.log([[1.0, 3.0, 1.0]]),
        Wh=np.log([[1.0, 1.0, 4.0]]),
        b=np.zeros(3),
    )
    yield pair("forward", "backward", case="one sequence, one input, two units", **inputs(rng, 1, 1, 2))
    yield pair("forward", "backward", case=f"N = {N}, D = {D}, H = {H}", **inputs(rng, N, D, H))
    yield pair("forward", "backward", case=f"more inputs than units, N = {N}", **inputs(rng, N, D + H, D))
    wide = inputs(rng, N, D, H)
    wide["b"] *= 5
    yield pair("forward", "backward", case="gates that are nearly open or nearly shut", **wide)


def inputs(rng, N, D, H):
    """Of a step; the state is not zero, so that its part of the gradient shows."""
    shapes = {"x": (N, D), "h_prev": (N, H), "Wx": (D, 3 * H), "Wh": (H, 3 * H), "b": (3 * H,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}
