import numpy as np

from scratchlv.exercises import pair


def cases(rng, T, N):
    small = np.array([[1.0, 2.0], [6.0, 50.0]])
    yield pair("forward", "backward", losses=small, mask=np.array([[True, True], [True, False]]))

    lengths = 1 + (np.arange(N) + rng.integers(N)) % T  # unequal, and from 1 to T
    lengths[0] = T
    mask = np.arange(T)[:, None] < lengths
    yield pair(
        "forward", "backward", case="sentences of unequal length", losses=rng.exponential(size=(T, N)), mask=mask
    )
    holes = mask & (rng.random((T, N)) < 0.6)
    holes[0, 0] = True
    yield pair(
        "forward", "backward", case="places left out between words", losses=rng.exponential(size=(T, N)), mask=holes
    )
    losses, all_true = rng.exponential(size=(T, N)), np.ones((T, N), bool)
    yield pair("forward", "backward", case="every place counts", losses=losses, mask=all_true)
    gone = all_true.copy()
    gone[:, -1] = False
    gone[-1:, 0] = T == 1
    losses = rng.exponential(size=(T, N))
    yield pair("forward", "backward", case="a sentence without a word", losses=losses, mask=gone)
    yield pair("forward", "backward", case="no place counts", losses=losses, mask=~all_true)
    endless = np.where(gone, losses, np.inf)
    yield pair("forward", "backward", case="the padded losses are infinite", losses=endless, mask=gone)
