"""Pooling of windows that touch, overlap or leave gaps; with ties."""

import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, H, W, C):
    tiny = np.array([[1.0, 5, 2, 4], [3, 4, 0, 2], [0, -1, 7, 1], [6, -2, 8, 9]])

    def pool(case, x, k, stride):
        return pair("forward", "backward", case=case, x=x, k=k, stride=stride)

    def maps(n, h, w, c):
        return rng.standard_normal((n, h, w, c))

    yield pool("the example, without ties", tiny.reshape(1, 4, 4, 1), 2, 2)
    yield pool("2 × 2 windows side by side, several channels", maps(N, 4, 6, C), 2, 2)
    yield pool("rows and columns left over", maps(N, 7 + H % 2, 9, C), 4, 4)
    yield pool("all values below zero", -1 - np.abs(maps(N, 4, 4, C)), 2, 2)
    yield pool("overlapping windows: k = 3, stride = 2", maps(N, H + 2, W, C), 3, 2)
    yield pool("overlapping windows: k = 2, stride = 1", maps(N, H, W, C), 2, 1)
    yield pool("gaps between the windows: k = 2, stride = 3", maps(N, H + 1, W, C), 2, 3)
    yield pool("ties", rng.integers(0, 2, (N, H + 1, W, C)).astype(float), 3, 2)
    yield pool("one window, as large as the map", maps(N, 3, 3, C), 3, 1)
    yield pool("windows of one number", maps(N, 3, 4, C), 1, 1)
    yield pool("float32", maps(N, 4, 6, C).astype(np.float32), 2, 2)
