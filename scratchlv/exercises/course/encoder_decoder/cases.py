import numpy as np

from scratchlv.exercises import pair


def cases(rng, S, T, N, V, D, H):
    zero, one, b = np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1)
    yield pair(
        "forward",
        "backward",
        case="the example",
        source=np.array([[2]]),
        target=np.array([[0]]),
        E=np.array([[7.0], [9.0], [0.5]]),
        enc_Wx=one,
        enc_Wh=zero,
        enc_b=b,
        dec_Wx=zero,
        dec_Wh=one,
        dec_b=b,
    )
    yield pair("forward", "backward", case="two words to read, two to write", **inputs(rng, 2, 2, 1, 4, 1, 1))
    yield pair("forward", "backward", case=f"S = {S}, T = {T}, N = {N}", **inputs(rng, S, T, N, V, D, H))
    yield pair("forward", "backward", case="one word to write", **inputs(rng, S, 1, N, V, D, H))
    yield pair("forward", "backward", case="one word to read", **inputs(rng, 1, T, N, V, D, H))
    same = inputs(rng, S, T, N, V, D, H)
    same["source"][:] = same["target"][:] = 1
    yield pair("forward", "backward", case="the same word everywhere", **same)


def inputs(rng, S, T, N, V, D, H):
    words = {"source": rng.integers(2, max(V, 3), (S, N)), "target": rng.integers(2, max(V, 3), (T, N))}
    shapes = {"Wx": (D, H), "Wh": (H, H), "b": (H,)}
    weights = {
        f"{part}_{name}": 0.7 * rng.standard_normal(shape) for part in ("enc", "dec") for name, shape in shapes.items()
    }
    return words | {"E": rng.standard_normal((max(V, 3), D))} | weights
