"""One step: of one sentence, of several, of width one, with large numbers."""

import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, E, D, H, V):
    def step(case, N=N, E=E, D=D, H=H, V=V, size=1.0, dtype=float):
        shapes = {"word": (N, E), "z": (N, D), "h": (N, H), "c": (N, H)}
        shapes |= {"Ww": (E, 4 * H), "Wz": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
        shapes |= {"Lh": (H, E), "Lz": (D, E), "Lo": (E, V), "bo": (V,)}
        inputs = {name: (size * rng.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}
        return pair("forward", "backward", case=case, **inputs)

    yield step("one sentence, all widths 1 or 2", N=1, E=2, D=1, H=1, V=2)
    yield step("several sentences")
    yield step("all widths the same, so that a missing transpose does not show in a shape", N=3, E=3, D=3, H=3, V=3)
    yield step("one sentence", N=1)
    yield step("small numbers", size=0.1)
    yield step("float32", dtype=np.float32)
