import numpy as np

from scratchlv.exercises import pair


def cases(rng, T, N, D, H):
    yield pair(
        "forward",
        "backward",
        case="the example",
        x=np.log([[[2.0], [3.0]], [[3.0], [9.0]]]),
        h0=np.ones((2, 1)),
        Wx=np.eye(1),
        Wh=np.zeros((1, 1)),
        b=np.zeros(1),
        lengths=np.array([2, 1]),
    )
    yield pair("forward", "backward", case="lengths 3, 1 and 2", **inputs(rng, 3, 3, 1, 1), lengths=np.array([3, 1, 2]))
    mixed = rng.integers(1, T + 1, N)
    mixed[:2] = [T, 1][:N]
    yield pair("forward", "backward", case=f"T = {T}, N = {N}", **inputs(rng, T, N, D, H), lengths=mixed)
    none = mixed.copy()
    none[0] = 0
    yield pair("forward", "backward", case="a sequence of length 0", **inputs(rng, T, N, D, H), lengths=none)
    full = np.full(N, T)
    yield pair("forward", "backward", case="all sequences are full", **inputs(rng, T, N, D, H), lengths=full)
    short = np.full(N, T - 1)
    yield pair("forward", "backward", case="no sequence takes the last step", **inputs(rng, T, N, D, H), lengths=short)
    single = {name: array.astype(np.float32) for name, array in inputs(rng, T, N, D, H).items()}
    yield pair("forward", "backward", case="float32 in, float32 out", **single, lengths=mixed)


def inputs(rng, T, N, D, H):
    shapes = {"x": (T, N, D), "h0": (N, H), "Wx": (D, H), "Wh": (H, H), "b": (H,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}
