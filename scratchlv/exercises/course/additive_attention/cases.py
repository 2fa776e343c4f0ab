"""Regions that all count, masks of several kinds, one region."""

import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, L, D, H, A):
    def attention(case, mask, N=N, L=L, D=D, H=H, A=A, dtype=float):
        shapes = {"x": (N, L, D), "h": (N, H), "Wx": (D, A), "Wh": (H, A), "b": (A,), "v": (A,)}
        arrays = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
        return pair("forward", "backward", case=case, **arrays, mask=mask)

    one = np.ones((1, 1))
    yield pair(
        "forward",
        "backward",
        case="the example, without a mask",
        x=np.array([[[0.0], [2], [3]]]),
        h=-one,
        Wx=one,
        Wh=one,
        b=np.array([0.5]),
        v=np.array([2.0]),
        mask=np.ones((1, 3), bool),
    )
    everything = np.ones((N, L), bool)
    yield attention("all regions count", everything)
    some = rng.random((N, L)) < 0.5
    some[0], some[:, L // 2], some[1, 0] = True, True, False
    yield attention("some regions are masked", some)
    yield attention("one region of each picture is left", np.arange(L) == rng.integers(0, L, (N, 1)))
    yield attention("one region", np.ones((N, 1), bool), L=1)
    yield attention("one picture", some[1:2], N=1)
    yield attention("float32", some, dtype=np.float32)
