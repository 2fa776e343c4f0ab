import numpy as np

from scratchlv.exercises import pair


def cases(rng, N, V):
    yield pair("forward", "backward", logits=np.array([[0.0, np.log(3.0)]]), targets=np.array([1]))
    two = np.log(np.array([[1.0, 1.0, 2.0], [3.0, 1.0, 1.0]]))
    yield pair("forward", "backward", logits=two, targets=np.array([2, 1]))
    targets = rng.integers(V, size=N)
    yield pair("forward", "backward", logits=rng.standard_normal((N, V)), targets=targets)
    yield pair("forward", "backward", case="all scores are equal", logits=np.ones((N, V)), targets=targets)
    same = np.full(N, V - 1)
    yield pair(
        "forward", "backward", case="one class is always right", logits=rng.standard_normal((N, V)), targets=same
    )
    large = 1000 + rng.standard_normal((N, V))
    yield pair("forward", "backward", case="scores of a thousand", logits=large, targets=targets)
    far = np.linspace(0, 1, V) * rng.permuted(np.tile([-5000.0, 5000.0], N))[:N, None]
    yield pair("forward", "backward", case="a right class that has almost no chance", logits=far, targets=targets)
    yield pair("forward", "backward", case="one row", logits=rng.standard_normal((1, V)), targets=targets[:1])
