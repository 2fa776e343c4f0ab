import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, H, W, C, M):
    row = {"x": np.array([1.0, 4.0, 9.0, 9.0]).reshape(1, 1, 4, 1), "W": np.array([-1.0, 1.0]).reshape(1, 2, 1, 1)}
    yield pair("forward", "backward", case="the example", **row, b=np.zeros(1), stride=1, padding=0)
    yield conv(rng, "3 x 3 pixels, a window of 2 x 2", (1, 3, 3, 1), (2, 2, 1, 1))
    yield conv(rng, "a window of 3 x 2, no padding", (N, H, W, C), (3, 2, C, M))
    yield conv(rng, "padding 1", (N, H, W, C), (3, 2, C, M), padding=1)
    yield conv(rng, "stride 2", (N, H, W, C), (2, 3, C, M), stride=2)
    yield conv(rng, "stride 2, padding 2", (N, H, W, C), (3, 3, C, M), stride=2, padding=2)
    yield conv(rng, "a stride that is larger than the window", (1, H + 3, W + 3, 2), (2, 1, 2, M), stride=3)
    yield conv(rng, "a window of 1 x 1", (N, H, W, C), (1, 1, C, M))
    yield conv(rng, "a window as large as the picture", (N, H, W, C), (H, W, C, M))
    yield conv(rng, "float32 in, float32 out", (N, H, W, C), (3, 2, C, M), padding=1, dtype=np.float32)


def conv(rng, case, x, W, stride=1, padding=0, dtype=float):
    """Of the shapes of x and W; a picture that the window does not fit into is made larger."""
    x = (x[0], max(x[1], W[0]), max(x[2], W[1]), x[3])
    arrays = {"x": rng.standard_normal(x), "W": rng.standard_normal(W), "b": rng.standard_normal(W[3])}
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    return pair("forward", "backward", case=case, **arrays, stride=stride, padding=padding)
