"""One hop, then several: over one region, with equal regions, with a single hop."""

import numpy as np

from scratchlv.exercises import pair


def cases(rng, K, N, L, D, A):
    def hop(case, N=N, L=L, D=D, A=A, v=None):
        v = rng.standard_normal((N, L, D)) if v is None else v
        shapes = {"u": (N, D), "Wv": (D, A), "Wu": (D, A), "b": (A,), "wp": (A,)}
        return pair(
            "forward", "backward", case=case, v=v, **{name: rng.standard_normal(s) for name, s in shapes.items()}
        )

    def hops(case, K=K, L=L, dtype=float):
        shapes = {"v": (N, L, D), "u": (N, D), "Wv": (K, D, A), "Wu": (K, D, A), "b": (K, A), "wp": (K, A)}
        arrays = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
        return pair("stack", "stack_backward", case=case, **arrays)

    yield hop("one picture, two regions", N=1, L=2, D=2, A=1)
    yield hop("several pictures")
    yield hop("D and A the same", D=3, A=3)
    repeated = rng.standard_normal((N, L, D))
    repeated[:, 1] = repeated[:, 0]
    yield hop("two regions that look the same", v=repeated)
    yield hop("one region", L=1)
    yield hops("one hop", K=1)
    yield hops(f"{K} hops")
    yield hops(f"{K + 2} hops", K=K + 2)
    yield hops("float32", dtype=np.float32)
