import numpy as np

from scratchlv.exercises import call


def cases(rng, S, N, D, H, T):
    yield call("windows", case="the example", tokens=np.arange(11), N=2, T=3)
    text = rng.permutation(N * (2 * T + 1) + N - 1)
    yield call("windows", case=f"{len(text)} tokens, {N} pieces, windows of {T}", tokens=text, N=N, T=T)
    yield call("windows", case="one piece", tokens=rng.permutation(2 * T), N=1, T=T)
    yield call("windows", case="a window that is longer than the pieces", tokens=rng.permutation(4 * N), N=N, T=T + 4)

    one = np.ones((1, 1))
    example = {"x": np.zeros((2, 1, 1)), "h0": np.arctanh([[0.8]]), "Wx": one, "Wh": one, "b": np.zeros(1)}
    yield call("gradients", case="the example, T = 1", **example, dh=np.array([[[0.0]], [[1.0]]]), T=1)
    yield call("gradients", case="three steps of one number, T = 2", **inputs(rng, 3, 1, 1, 1), T=2)
    yield call("gradients", case=f"S = {S}, T = {T}", **inputs(rng, S, N, D, H), T=T)
    yield call("gradients", case="windows that come out even", **inputs(rng, 2 * T, N, D, H), T=T)
    yield call("gradients", case="one window for all", **inputs(rng, S, N, D, H), T=S)


def inputs(rng, S, N, D, H):
    shapes = {"x": (S, N, D), "h0": (N, H), "Wx": (D, H), "Wh": (H, H), "b": (H,), "dh": (S, N, H)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}
